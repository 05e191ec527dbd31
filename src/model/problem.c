// What is wrong with a set of objects.

#include "model/problem.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/memory.h"
#include "model/object.h"

// A copy of the text, as protobuf and terminals take it.
static char *text_clean(const char *text)
{
	char *result = memory_new(strlen(text) + 1), *end = result;

	while (*text) {
		size_t length = utf8_length(text);
		bool control = (unsigned char)*text < 0x20 || *text == 0x7f ||
			       (text[0] == '\xc2' && (unsigned char)text[1] < 0xa0);

		if (!length || control) {
			*end++ = '?';
			text += length ? length : 1;
			continue;
		}
		memcpy(end, text, length);
		end += length;
		text += length;
	}
	return result;
}

Sluice__V1__Problem *problems_add(struct problems *problems, const Sluice__V1__Object *object,
				  const char *field, const char *format, ...)
{
	va_list args;
	char text[512];

	if (problems->count >= PROBLEMS_MAX) {
		problems->left_out++;
		return NULL;
	}
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);

	Sluice__V1__Problem *problem = memory_new(sizeof(*problem));
	sluice__v1__problem__init(problem);
	problem->kind = memory_text(object ? object_kind_name(object) : "");
	problem->name = text_clean(object ? object_name(object) : "");
	problem->field = text_clean(field ? field : "");
	problem->text = text_clean(text);
	if (!problems->list)
		problems->list = memory_new(PROBLEMS_MAX * sizeof(*problems->list));
	problems->list[problems->count++] = problem;
	return problem;
}

static char *reference(const char *kind, const char *name)
{
	char *text, *clean;

	if (asprintf(&text, "%s/%s", kind, name) < 0)
		memory_required(NULL);
	clean = text_clean(text);
	free(text);
	return clean;
}

void problem_missing(Sluice__V1__Problem *problem, const char *kind, const char *name)
{
	if (problem)
		problem->missing = reference(kind, name);
}

void problem_other(Sluice__V1__Problem *problem, const Sluice__V1__Object *other, const char *field)
{
	if (!problem)
		return;
	problem->other = reference(object_kind_name(other), object_name(other));
	problem->other_field = text_clean(field);
}

const char *problems_summary(const struct problems *problems, char *text, size_t size)
{
	if (problems->count == 0) {
		snprintf(text, size, "no problem");
		return text;
	}
	const Sluice__V1__Problem *first = problems->list[0];
	size_t more = problems->count - 1 + problems->left_out;
	char tail[64] = "";

	if (more)
		snprintf(tail, sizeof(tail), " (and %zu more)", more);
	snprintf(text, size, "%s%s%s%s%s%s%s%s", first->kind, *first->kind ? "/" : "", first->name,
		 *first->kind || *first->name ? ": " : "", first->field, *first->field ? ": " : "",
		 first->text, tail);
	return text;
}

Sluice__V1__Problems problems_message(const struct problems *problems)
{
	Sluice__V1__Problems message = SLUICE__V1__PROBLEMS__INIT;

	message.problems = problems->list;
	message.n_problems = problems->count;
	message.total = (uint32_t)(problems->count + problems->left_out);
	return message;
}

void problems_clear(struct problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		sluice__v1__problem__free_unpacked(problems->list[i], NULL);
	free(problems->list);
	memset(problems, 0, sizeof(*problems));
}
