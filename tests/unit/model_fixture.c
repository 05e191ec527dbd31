#include "model_fixture.h"

#include <unistd.h>

#include "model/document.h"

Sluice__V1__Object *vrf_new(const char *name)
{
	Sluice__V1__Object *object = calloc(1, sizeof(*object));

	sluice__v1__object__init(object);
	object->kind_case = VRF;
	object->vrf = calloc(1, sizeof(*object->vrf));
	sluice__v1__vrf__init(object->vrf);
	object->vrf->name = strdup(name);
	return object;
}

Sluice__V1__Object *network_new(const char *name, const char *vrf)
{
	Sluice__V1__Object *object = calloc(1, sizeof(*object));

	sluice__v1__object__init(object);
	object->kind_case = NET;
	object->network = calloc(1, sizeof(*object->network));
	sluice__v1__network__init(object->network);
	object->network->name = strdup(name);
	object->network->vrf = strdup(vrf);
	return object;
}

void set_put(struct object_set *set, const char *yaml)
{
	struct document *document = document_new();

	document_parse(document, "yaml", yaml, strlen(yaml));
	if (document->error_count)
		fail_msg("%s: %s", document->errors[0].text, yaml);
	for (size_t i = 0; i < document->count; i++)
		object_set_put(set, object_copy(document->objects[i].object));
	document_free(document);
}

// ---- stores

static char directory[] = "/tmp/sluice-store-XXXXXX";

const char *store_path(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

int store_commit_at(struct store *store, const struct change *changes, size_t count,
		    uint64_t revision, struct error *err)
{
	struct store_record record = {
		.revision = revision,
		.time = (int64_t)revision * 1000,
		.action = "apply",
		.user = "somebody",
		.comment = "",
	};

	return store_commit(store, changes, count, &record, err);
}

int stores_open(void **state)
{
	return mkdtemp(directory) ? 0 : -1;
}

int stores_remove(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}
