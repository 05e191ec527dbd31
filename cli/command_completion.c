// sluice completion: what a shell needs to complete commands, options, kinds and names.

#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/complete.h"

// completion/sluice.bash and sluice.zsh. Both ask the program itself (sluice completion line|words
// ...), so that names are those of now.
extern const unsigned char completion_bash[], completion_zsh[];
extern const size_t completion_bash_size, completion_zsh_size;

static int completion_run(const struct command *command, const struct invocation *invocation)
{
	char **arguments = invocation->arguments;
	int count = invocation->argument_count;

	// The shells' own questions.
	if (count >= 2 && strcmp(arguments[0], "line") == 0) {
		complete_line(arguments[1]);
		return EXIT_OK;
	}
	if (count >= 2 && strcmp(arguments[0], "words") == 0) {
		complete_words((const char *const *)arguments + 1, count - 1);
		return EXIT_OK;
	}
	if (count != 1)
		return usage_error(command, "completion takes a shell, bash or zsh");
	if (strcmp(arguments[0], "bash") == 0)
		fwrite(completion_bash, 1, completion_bash_size, stdout);
	else if (strcmp(arguments[0], "zsh") == 0)
		fwrite(completion_zsh, 1, completion_zsh_size, stdout);
	else
		return usage_error(command, "there is completion for bash and zsh, not for '%s'",
				   arguments[0]);
	return EXIT_OK;
}

const struct command completion_command = {
	.name = "completion",
	.arguments = "bash|zsh",
	.summary = "Prints what makes the shell complete commands, options, kinds and names",
	.about = "Names of objects are asked from sluiced when the key is pressed, at $SLUICE_API "
		 "or where --api on the line says.\n",
	.words = "bash|zsh",
	.examples =
		"  source <(sluice completion bash)        in this shell; in ~/.bashrc for all\n"
		"  source <(sluice completion zsh)         in ~/.zshrc, behind compinit\n"
		"  sluice completion bash > /usr/share/bash-completion/completions/sluice\n"
		"  sluice completion zsh > /usr/share/zsh/vendor-completions/_sluice\n",
	.run = completion_run,
};
