"""Found in place of pip: says what was asked for, and installs one package that Colab lacks."""
