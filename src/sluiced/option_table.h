// The daemon's options as data: --help and the manual are made of them. options.c reads them from
// the command line and the configuration.

#pragma once

// The last one has no name.
extern const struct daemon_option {
	const char *name;
	const char *argument; // NULL: it takes none
	const char *text;     // a phrase without full stop, with the default
} daemon_options[];
