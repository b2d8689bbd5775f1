"""A shop's orders on Django and Django REST framework. Each user sees the own ones."""
