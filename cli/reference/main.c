// sluice-reference WHAT: prints one of the generated documents.

#include "cli/reference/reference.h"

#include <stdio.h>
#include <string.h>

#include "cli/command.h"

static const struct {
	const char *name;
	void (*print)(void);
} documents[] = {
	{"objects.md", objects_markdown},     {"api.md", api_markdown},
	{"sluice.1", sluice_manual},	      {"sluiced.8", sluiced_manual},
	{"sluice-objects.5", objects_manual}, {"sluiced.yaml", sluiced_configuration},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(documents) / sizeof(*documents); i++) {
		if (argc != 2 || strcmp(argv[1], documents[i].name) != 0)
			continue;
		documents[i].print();
		return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_OK : EXIT_FAILED;
	}
	fputs("usage: sluice-reference objects.md|api.md|sluice.1|sluiced.8|sluice-objects.5|"
	      "sluiced.yaml\n",
	      stderr);
	return EXIT_USAGE;
}
