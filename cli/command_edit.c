// sluice edit: objects in the user's editor; what was changed is applied.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/changes.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/object.h"

// Others may change other objects all the time.
#define TRIES 10

struct editing {
	const struct invocation *invocation;
	Sluice__V1__ApplyRequest request; // without objects and revision
	const char *kind;
	const char *name; // NULL: all of the kind
	Sluice__V1__GetResponse *shown;
	char *directory;
	char *path;
	char *errors; // comments for the top of the file; NULL: none
};

static void editing_free(struct editing *editing, bool keep_file)
{
	if (editing->shown)
		sluice__v1__get_response__free_unpacked(editing->shown, NULL);
	if (!keep_file && editing->path) {
		unlink(editing->path);
		rmdir(editing->directory);
	}
	free(editing->path);
	free(editing->directory);
	free(editing->errors);
}

static Sluice__V1__GetResponse *objects_get(const struct editing *editing)
{
	Sluice__V1__GetRequest request;

	sluice__v1__get_request__init(&request);
	request.kind = (char *)(uintptr_t)editing->kind;
	if (editing->name)
		request.name = (char *)(uintptr_t)editing->name;
	return (Sluice__V1__GetResponse *)call_reported(editing->invocation, "Get", &request.base);
}

static const Sluice__V1__Object *object_find(const Sluice__V1__GetResponse *response,
					     const Sluice__V1__Object *object)
{
	for (size_t i = 0; i < response->n_objects; i++)
		if (response->objects[i]->kind_case == object->kind_case &&
		    strcmp(object_name(response->objects[i]), object_name(object)) == 0)
			return response->objects[i];
	return NULL;
}

// The file anew: what the user is to know, and the objects.
static int file_write(struct editing *editing, const char *text)
{
	FILE *file = fopen(editing->path, "w");

	if (!file)
		return failure("%s: %s", editing->path, strerror(errno));
	if (text) {
		fputs(text, file);
	} else {
		fprintf(file,
			"# What you change here is applied when you save and leave the editor. "
			"Unchanged or empty:\n# nothing is done. An object that you take out "
			"stays as it is (sluice delete removes it).\n");
		for (size_t i = 0; i < editing->shown->n_objects; i++) {
			if (i)
				fputs("---\n", file);
			object_print(file, editing->shown->objects[i], NULL, PRINT_YAML, 0);
		}
	}
	if (fclose(file) != 0)
		return failure("%s: %s", editing->path, strerror(errno));
	return EXIT_OK;
}

// The file's text; NULL after a line that says why not.
static char *file_read(const struct editing *editing)
{
	FILE *file = fopen(editing->path, "re");
	char *text = NULL;
	size_t size = 0;
	ssize_t length = file ? getdelim(&text, &size, 0, file) : -1;

	if (!file || ferror(file)) {
		failure("%s: %s", editing->path, strerror(errno));
		free(text);
		text = NULL;
	} else if (length < 0) {
		// Empty: then nothing is in the buffer either.
		free(text);
		text = memory_text("");
	}
	if (file)
		fclose(file);
	return text;
}

// The errors before what the user has written, and those of the last time taken out.
static char *text_with_errors(const char *text, const char *errors)
{
	char *result = NULL;
	size_t size;
	FILE *file = memory_required(open_memstream(&result, &size));

	while (strncmp(text, "#! ", 3) == 0) {
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	for (const char *line = errors; *line;) {
		int length = (int)strcspn(line, "\n");

		fprintf(file, "#! %.*s\n", length, line);
		line += length;
		line += *line == '\n';
	}
	fputs(text, file);
	fclose(file);
	return memory_required(result);
}

// $VISUAL or $EDITOR, which may have arguments, as git and others take them.
static int editor_run(const struct editing *editing)
{
	const char *editor = getenv("VISUAL");
	char *command;
	int status;

	if (!editor || !*editor)
		editor = getenv("EDITOR");
	if (!editor || !*editor)
		editor = "vi";
	if (asprintf(&command, "%s \"$0\"", editor) < 0)
		memory_required(NULL);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, editing->path, NULL);
		_exit(127);
	}
	free(command);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return failure("cannot run %s: %s", editor, strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return failure("%s did not end well (set EDITOR to the editor that you want); "
			       "nothing was changed",
			       editor);
	return EXIT_OK;
}

static void error_add(struct editing *editing, const char *line)
{
	char *before = editing->errors;

	if (asprintf(&editing->errors, "%s%s\n", before ? before : "", line) < 0)
		memory_required(NULL);
	free(before);
}

static void document_errors(struct editing *editing, struct document *document)
{
	document_sort_errors(document);
	for (size_t i = 0; i < document->error_count; i++)
		error_add(editing, document->errors[i].text);
}

static void status_errors(struct editing *editing, const struct rpc_status *status,
			  struct document *document)
{
	Sluice__V1__Problems *problems = (Sluice__V1__Problems *)rpc_status_detail(
		status, &sluice__v1__problems__descriptor);

	for (size_t i = 0; problems && i < problems->n_problems; i++)
		document_add_problem(document, problems->problems[i]);
	document_errors(editing, document);
	if (!editing->errors)
		error_add(editing,
			  *status->message ? status->message : rpc_code_name(status->code));
	if (problems)
		sluice__v1__problems__free_unpacked(problems, NULL);
}

// Objects that differ from what was shown. What was not shown is a mistake here.
static size_t changed_collect(struct editing *editing, const struct document *document,
			      Sluice__V1__Object **changed)
{
	size_t count = 0;

	for (size_t i = 0; i < document->count; i++) {
		const struct document_object *entry = &document->objects[i];
		const Sluice__V1__Object *before;

		if (entry->broken || !object_message(entry->object))
			continue;
		before = object_find(editing->shown, entry->object);
		if (!before) {
			char *line;

			if (asprintf(&line,
				     "%s:%u: %s/%s: was not shown; edit makes no new objects and "
				     "renames none (see sluice apply)",
				     entry->file, entry->line, object_kind_name(entry->object),
				     object_name(entry->object)) < 0)
				line = memory_required(NULL);
			error_add(editing, line);
			free(line);
		} else if (!object_equal(before, entry->object)) {
			changed[count++] = entry->object;
		}
	}
	return count;
}

// The stored state is another one by now. EXIT_OK: these objects are what they were, and can be
// tried by the new revision. Else the user has to look.
static int conflict_resolve(struct editing *editing, Sluice__V1__Object *const *changed,
			    size_t count)
{
	Sluice__V1__GetResponse *now = objects_get(editing);
	int result = EXIT_OK;

	if (!now)
		return EXIT_FAILED;
	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Object *before = object_find(editing->shown, changed[i]);
		const Sluice__V1__Object *after = object_find(now, changed[i]);
		char *text = NULL, *line;
		size_t size;
		FILE *file;

		if (before && after && object_equal(before, after))
			continue;
		result = EXIT_FAILED;
		if (asprintf(&line,
			     "%s/%s was %s meanwhile; saving again puts yours in its place%s",
			     object_kind_name(changed[i]), object_name(changed[i]),
			     after ? "changed" : "deleted", after ? ". What it is now:" : "") < 0)
			line = memory_required(NULL);
		error_add(editing, line);
		free(line);
		if (!after)
			continue;
		file = memory_required(open_memstream(&text, &size));
		object_print(file, after, NULL, PRINT_YAML, 0);
		fclose(file);
		for (char *rest = text; (line = strsep(&rest, "\n"));)
			if (*line)
				error_add(editing, line);
		free(text);
	}
	sluice__v1__get_response__free_unpacked(editing->shown, NULL);
	editing->shown = now;
	return result;
}

enum outcome {
	OUTCOME_DONE,
	OUTCOME_AGAIN, // the errors say why
	OUTCOME_FAILED,
};

// Only to the state that the user has seen: nobody's change is lost.
static enum outcome changed_apply(struct editing *editing, struct document *document,
				  Sluice__V1__Object **changed, size_t count)
{
	enum outcome outcome = OUTCOME_FAILED;
	Sluice__V1__ApplyResponse *response;
	struct rpc_status status = {0};
	unsigned int tries = 0;

	do {
		Sluice__V1__ApplyRequest request = editing->request;

		if (tries && conflict_resolve(editing, changed, count) != EXIT_OK) {
			rpc_status_clear(&status);
			return editing->errors ? OUTCOME_AGAIN : OUTCOME_FAILED;
		}
		rpc_status_clear(&status);
		request.objects = changed;
		request.n_objects = count;
		request.has_revision_case = SLUICE__V1__APPLY_REQUEST__HAS_REVISION_REVISION;
		request.revision = editing->shown->revision;
		response = (Sluice__V1__ApplyResponse *)call(editing->invocation, "Apply",
							     &request.base, &status);
	} while (!response && status.code == RPC_ABORTED && ++tries < TRIES);
	if (response) {
		changes_print(editing->invocation, &response->base, response->changes,
			      response->n_changes, NULL, false);
		if (editing->request.confirm_seconds)
			confirm_print(response->revision, editing->request.confirm_seconds);
		sluice__v1__apply_response__free_unpacked(response, NULL);
		outcome = OUTCOME_DONE;
	} else if (status.code == RPC_INVALID_ARGUMENT) {
		status_errors(editing, &status, document);
		outcome = OUTCOME_AGAIN;
	} else {
		status_failure(&status, document);
	}
	rpc_status_clear(&status);
	return outcome;
}

static enum outcome text_apply(struct editing *editing, const char *text)
{
	struct document *document = document_new();
	Sluice__V1__Object **changed;
	enum outcome outcome = OUTCOME_AGAIN;
	size_t count;

	document_parse(document, editing->path, text, strlen(text));
	document_errors(editing, document);
	changed = memory_new(document->count * sizeof(*changed));
	count = changed_collect(editing, document, changed);
	if (editing->errors) {
		outcome = OUTCOME_AGAIN;
	} else if (!count) {
		puts("nothing changed");
		outcome = OUTCOME_DONE;
	} else {
		outcome = changed_apply(editing, document, changed, count);
	}
	free(changed);
	document_free(document);
	return outcome;
}

static bool text_is_empty(const char *text)
{
	while (*text) {
		text += strspn(text, " \t\n");
		if (*text && *text != '#' && strncmp(text, "---", 3) != 0)
			return false;
		text += strcspn(text, "\n");
	}
	return true;
}

static int edit_loop(struct editing *editing)
{
	char *before = NULL;
	bool again = false;
	int result = file_write(editing, NULL);

	while (result == EXIT_OK) {
		enum outcome outcome;
		char *text;

		free(before);
		before = file_read(editing);
		if (!before || editor_run(editing) != EXIT_OK) {
			result = EXIT_FAILED;
			break;
		}
		text = file_read(editing);
		if (!text) {
			result = EXIT_FAILED;
			break;
		}
		if (text_is_empty(text) || strcmp(text, before) == 0) {
			// Whoever leaves an error as it is has given up.
			free(text);
			if (again)
				result = failure("nothing was changed; what you wrote is in %s",
						 editing->path);
			else
				puts("nothing changed");
			break;
		}
		free(editing->errors);
		editing->errors = NULL;
		outcome = text_apply(editing, text);
		again = outcome == OUTCOME_AGAIN;
		if (again) {
			char *next = text_with_errors(text, editing->errors);

			result = file_write(editing, next);
			free(next);
		} else if (outcome == OUTCOME_FAILED) {
			result = failure("what you wrote is in %s", editing->path);
		}
		free(text);
		if (!again)
			break;
	}
	free(before);
	return result;
}

static int file_make(struct editing *editing)
{
	const char *place = getenv("TMPDIR");

	// A directory of its own, that nobody else can look into.
	if (asprintf(&editing->directory, "%s/sluice-edit.XXXXXX",
		     place && *place ? place : "/tmp") < 0)
		editing->directory = memory_required(NULL);
	if (!mkdtemp(editing->directory))
		return failure("%s: %s", editing->directory, strerror(errno));
	if (asprintf(&editing->path, "%s/%s%s%s.yaml", editing->directory, editing->kind,
		     editing->name ? "-" : "", editing->name ? editing->name : "") < 0)
		editing->path = memory_required(NULL);
	return EXIT_OK;
}

static int edit_run(const struct command *command, const struct invocation *invocation)
{
	struct editing editing = {.invocation = invocation};
	Sluice__V1__Object__KindCase kind;
	const char *near;
	int result;

	if (invocation->argument_count < 1 || invocation->argument_count > 2)
		return usage_error(command, "edit takes KIND and perhaps NAME");
	sluice__v1__apply_request__init(&editing.request);
	if (!time_option(command, invocation, "confirm", &editing.request.confirm_seconds))
		return EXIT_USAGE;
	if (option_get(&invocation->options, "comment"))
		editing.request.comment =
			(char *)(uintptr_t)option_get(&invocation->options, "comment");
	kind = kind_find(invocation->arguments[0]);
	if (kind == SLUICE__V1__OBJECT__KIND__NOT_SET) {
		near = kind_suggest(invocation->arguments[0]);
		if (near)
			return failure("unknown kind '%s', did you mean '%s'?",
				       invocation->arguments[0], near);
		return failure("unknown kind '%s'", invocation->arguments[0]);
	}
	editing.kind = kind_name(kind);
	editing.name = invocation->argument_count == 2 ? invocation->arguments[1] : NULL;
	editing.shown = objects_get(&editing);
	if (!editing.shown)
		return EXIT_FAILED;
	if (!editing.shown->n_objects) {
		result = failure("there is no %s (sluice apply makes objects)", editing.kind);
		editing_free(&editing, false);
		return result;
	}
	result = file_make(&editing);
	if (result == EXIT_OK)
		result = edit_loop(&editing);
	editing_free(&editing, result != EXIT_OK);
	return result;
}

static const struct option_spec options[] = {OPTION_CONFIRM, OPTION_COMMENT, {0}};

const struct command edit_command = {
	.name = "edit",
	.arguments = "KIND [NAME] [--confirm TIME] [--comment TEXT]",
	.summary = "Opens objects in your editor, and applies what you change",
	.about = "The editor is $VISUAL, $EDITOR or vi. Nothing is done where nothing was changed. "
		 "A "
		 "mistake opens the editor again, with what is wrong at the top; leaving it as it "
		 "is "
		 "gives up.\n"
		 "\n"
		 "If somebody else changes the same object meanwhile, the editor opens again and "
		 "shows "
		 "what it is now: nobody's change is lost unseen.\n",
	.words = "KIND NAME",
	.options = options,
	.examples = "  sluice edit network blue\n"
		    "  sluice edit securitygroups --confirm 5m\n"
		    "  EDITOR=nano sluice edit port web-1\n",
	.run = edit_run,
};
