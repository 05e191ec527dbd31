// The list of commands, and the options that all of them have.

#include "cli/command.h"
#include "cli/help.h"

// In the order of the alphabet, as the help shows them.
// clang-format off
const struct command *const commands[] = {
	&apply_command,
	&audit_command,
	&capture_command,
	&completion_command,
	&confirm_command,
	&delete_command,
	&diff_command,
	&doctor_command,
	&drain_command,
	&edit_command,
	&explain_command,
	&flows_command,
	&get_command,
	&history_command,
	&rollback_command,
	&stats_command,
	&top_command,
	&trace_command,
	&undrain_command,
	&upgrade_command,
	&version_command,
	NULL,
};
// clang-format on

const struct option_spec global_options[] = {
	{.name = "api",
	 .argument = "ADDRESS",
	 .text = "where sluiced listens, unix:PATH or tls:HOST:PORT; default $SLUICE_API, "
		 "or " DEFAULT_API},
	{.name = "cert",
	 .argument = "FILE",
	 .text = "with tls:, your certificate; default $SLUICE_CERT",
	 .completion = "FILE"},
	{.name = "key",
	 .argument = "FILE",
	 .text = "its private key; default $SLUICE_KEY",
	 .completion = "FILE"},
	{.name = "ca",
	 .argument = "FILE",
	 .text = "the CA that the certificate of sluiced is from; default $SLUICE_CA",
	 .completion = "FILE"},
	{.name = "color",
	 .argument = "WHEN",
	 .text = "auto (default: on terminals, without NO_COLOR), always or never",
	 .completion = "auto always never"},
	{0},
};
