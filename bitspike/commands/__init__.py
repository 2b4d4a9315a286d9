"""The program's commands: one module each, with ``add_to(app)``; what a command needs is imported when it runs."""
