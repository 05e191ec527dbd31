// The default configuration of sluiced, with every option as a comment.

#include <stdio.h>
#include <string.h>

#include "cli/reference/reference.h"
#include "sluiced/option_table.h"

#define WIDTH 100

// Words up to the width, each line a comment.
static void comment_print(const char *text)
{
	int at = printf("#");

	while (*text) {
		int length = (int)strcspn(text, " ");

		if (at > 1 && at + 1 + length > WIDTH)
			at = printf("\n#") - 1;
		at += printf(" %.*s", length, text);
		text += length;
		text += strspn(text, " ");
	}
	putchar('\n');
}

void sluiced_configuration(void)
{
	comment_print("The options of sluiced(8), in YAML. What is left out has the value in "
		      "parentheses. "
		      "After a change: systemctl restart sluiced (nothing passes for a moment; "
		      "connections "
		      "go on).");
	for (const struct daemon_option *option = daemon_options; option->name; option++) {
		// What takes nothing prints something and ends; this file is --config.
		if (!option->argument || strcmp(option->name, "config") == 0)
			continue;
		putchar('\n');
		comment_print(option->text);
		printf("#%s: %s\n", option->name, option->argument);
	}
	putchar('\n');
	comment_print("what callers of --listen may do, by the subject or the SPIFFE ID of their "
		      "certificate (sluice help remote)");
	puts("#roles:\n"
	     "#  write: [\"CN=admin,O=Example\"]\n"
	     "#  operate: [spiffe://example.org/oncall/*]\n"
	     "#  read: [\"*\"]");
}
