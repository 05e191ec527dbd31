#include "model/print.h"
#include "page/private.h"

void json_key(FILE *file, bool *first, const char *name)
{
	fputs(*first ? "" : ",\n", file);
	string_print(file, name, PRINT_JSON);
	fputs(": ", file);
	*first = false;
}

void json_text(FILE *file, bool *first, const char *name, const char *text)
{
	json_key(file, first, name);
	string_print(file, text, PRINT_JSON);
}

void json_number(FILE *file, bool *first, const char *name, double number)
{
	json_key(file, first, name);
	fprintf(file, "%.15g", number);
}

void json_message(FILE *file, bool *first, const char *name, const ProtobufCMessage *message)
{
	json_key(file, first, name);
	message_print(file, message, PRINT_JSON, PRINT_EMPTY, 1);
}
