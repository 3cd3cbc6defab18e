"""The REST API of exports, version 1. For people with a login: an export is signed with a person's key."""
