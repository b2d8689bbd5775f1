"""Django finds the commands of `manage.py` in here."""
