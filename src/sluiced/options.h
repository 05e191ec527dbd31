// The daemon's options, from the command line and from the file that --config names.

#pragma once

#include "base/error.h"
#include "base/log.h"
#include "rpc/roles.h"
#include "worker/engine.h"

#define OPTION_PATH_SIZE 256

struct options {
	char node[64];
	char api[256];
	char state[256];
	char flows[512];   // path, or none
	char metrics[300]; // HOST:PORT; empty: none
	bool page;	   // served there
	enum log_format log_format;
	char listen[300]; // HOST:PORT; empty: none
	char tls_cert[OPTION_PATH_SIZE];
	char tls_key[OPTION_PATH_SIZE];
	char tls_ca[OPTION_PATH_SIZE];
	struct rpc_roles roles;
	struct engine_options engine;
	bool help;
	bool version;
};

// 0, or -1 with a line for the user (a usage error). The command line goes before the file.
int options_parse(int argc, char **argv, struct options *options, struct error *err);

void options_clear(struct options *options);

// On standard output.
void options_help_print(void);
