#include "telemetry/metrics_text.h"

#include <inttypes.h>

void metrics_family(FILE *file, const char *name, const char *type, const char *help)
{
	fprintf(file, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_label(FILE *file, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", file);
		else if (*text == '"' || *text == '\\')
			fprintf(file, "\\%c", *text);
		else
			fputc(*text, file);
	}
}

void metrics_sample(FILE *file, const char *name, const char *label, const char *value,
		    const char *label2, const char *value2)
{
	fputs(name, file);
	if (label) {
		fprintf(file, "{%s=\"", label);
		metrics_label(file, value);
		if (label2) {
			fprintf(file, "\",%s=\"", label2);
			metrics_label(file, value2);
		}
		fputs("\"}", file);
	}
}

void metrics_count(FILE *file, uint64_t number)
{
	fprintf(file, " %" PRIu64 "\n", number);
}

void metrics_gauge(FILE *file, const char *name, const char *help, uint64_t number)
{
	metrics_family(file, name, "gauge", help);
	metrics_sample(file, name, NULL, NULL, NULL, NULL);
	metrics_count(file, number);
}
