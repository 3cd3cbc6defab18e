"""The REST API of locks, version 1. For people with a login: a lock, and what ends it, has a person's name on it."""
