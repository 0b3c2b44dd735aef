"""Backbones: ResNet and U-Net from the inside out. One implementation for every chapter."""
