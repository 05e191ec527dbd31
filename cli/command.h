// The commands of the command line, and what they share.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/option.h"
#include "model/document.h"
#include "model/print.h"
#include "rpc/client.h"
#include "sluice.pb-c.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

enum output {
	OUTPUT_TABLE,
	OUTPUT_JSON,
	OUTPUT_YAML,
	OUTPUT_WIDE, // of commands whose options say so
};

// What the command line says.
struct invocation {
	const char *api;
	struct rpc_tls_files tls; // for tls:HOST:PORT; NULL: not given
	enum output output;	  // of -o
	struct option_values options;
	char **arguments;
	int argument_count;
};

struct command {
	const char *name;
	const char *arguments; // behind the name in the usage line
	const char *summary;   // one line
	const char *about;     // paragraphs behind it; NULL: none
	// What completes the words behind the command, with spaces between them: KIND, NAME (of
	// an object of the KIND before it), FIELD (for explain), TOPIC, or words as a|b; the last
	// may end with "..." and then stands for all further ones. NULL: nothing does.
	const char *words;
	const struct option_spec *options;
	const char *notes;    // behind the options; NULL: none
	const char *examples; // command lines; NULL: none
	int (*run)(const struct command *command, const struct invocation *invocation);
};

extern const struct command *const commands[];

extern const struct command apply_command;
extern const struct command audit_command;
extern const struct command capture_command;
extern const struct command completion_command;
extern const struct command confirm_command;
extern const struct command drain_command;
extern const struct command undrain_command;
extern const struct command delete_command;
extern const struct command diff_command;
extern const struct command doctor_command;
extern const struct command edit_command;
extern const struct command explain_command;
extern const struct command flows_command;
extern const struct command get_command;
extern const struct command history_command;
extern const struct command rollback_command;
extern const struct command stats_command;
extern const struct command top_command;
extern const struct command trace_command;
extern const struct command upgrade_command;
extern const struct command version_command;

// One line on standard error, with the hint at --help. Returns EXIT_USAGE.
int usage_error(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

// One line on standard error. Returns EXIT_FAILED.
int failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Connects to sluiced as the command line says. The error is a whole line for the user.
int client_open(const struct invocation *invocation, struct rpc_client **client, struct error *err);

// Calls a unary method of the service, on a connection of its own. Returns NULL where it failed:
// the status says why.
ProtobufCMessage *call(const struct invocation *invocation, const char *method,
		       const ProtobufCMessage *request, struct rpc_status *status);
// The same. Returns NULL after printing what the status says.
ProtobufCMessage *call_reported(const struct invocation *invocation, const char *method,
				const ProtobufCMessage *request);

// Prints a response as a whole, as JSON or YAML.
void result_print(const struct invocation *invocation, const ProtobufCMessage *message);

// Prints what the status says: a line for each problem, with file and line where `document` has the
// object, or the message. Returns EXIT_FAILED.
int status_failure(const struct rpc_status *status, struct document *document);

// Reads the files of -f. NULL after printing what is wrong in them.
struct document *files_read(const struct invocation *invocation);

// Reads the files and applies them as `request`, which has no objects, says. Returns NULL after
// printing what is wrong. `*document` is the caller's in any case, and may be NULL.
Sluice__V1__ApplyResponse *files_apply(const struct invocation *invocation,
				       const Sluice__V1__ApplyRequest *request,
				       struct document **document);

// get_watch.c: `get --watch`, of a kind, and of one name or, where it is empty, of all.
int get_watch(const struct invocation *invocation, const char *kind, const char *name);
