"""So that `import google.colab` works, which is how notebooks ask whether they are in Colab."""
