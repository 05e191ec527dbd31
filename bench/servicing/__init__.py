"""What is serviced: Sluice, and what a user would run otherwise. Each is a module with NAME, TITLE and a class Device."""
