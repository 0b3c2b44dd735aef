"""What ``tools/grade.py`` is made of.

collect     find submissions in a folder, whatever it looks like, and who handed them in
read        code cells of a notebook file, however damaged
book        the book's own notebooks, by exercise
plan        which cells of a submission run, in what order
suspicious  source text that a person should look at
warm        a process that has run a chapter once and forks a copy of itself for each submission
supervise   watches over that copy: time, memory, crashes
runner      the copy: runs the student's cells and judges the answers
sandbox     what the copy may not do (with landlock and hook)
tamper      notices and undoes what a notebook changed in Python, PyTorch or the checks
plain       answers that are plain data, judged outside the copy
results     points, rows and columns; feedback and lms write them down
"""
