#!/app/no_interpreter.py
