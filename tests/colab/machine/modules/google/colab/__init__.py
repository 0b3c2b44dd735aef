"""The little of Colab's own package that libraries look for."""
