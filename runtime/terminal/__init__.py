"""What people see and how a command ends: messages, progress, tables, signals, closed streams."""
