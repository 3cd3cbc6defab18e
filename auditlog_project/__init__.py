"""The floor that wires everything: settings, URLs, commands, embedded servers. Imported by nobody."""
