// Validation of a whole set: what holds for every message, then each kind's own rules.

#include "model/check.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "model/kind.h"
#include "model/kind/check.h"
#include "model/memory.h"
#include "model/message.h"
#include "model/object.h"
#include "model/rule.h"

#define NAME_MAX_LENGTH	 63
#define STRING_MAX	 1024
#define KIND_OBJECTS_MAX 65535

static const struct {
	const ProtobufCMessageDescriptor *type;
	void (*check)(struct check *check);
} kind_checks[] = {
	{&sluice__v1__node__descriptor, node_check},
	{&sluice__v1__vrf__descriptor, vrf_check},
	{&sluice__v1__network__descriptor, network_check},
	{&sluice__v1__security_group__descriptor, security_group_check},
	{&sluice__v1__port__descriptor, port_check},
	{&sluice__v1__route__descriptor, route_check},
	{&sluice__v1__load_balancer__descriptor, load_balancer_check},
	{&sluice__v1__qos_policy__descriptor, qos_policy_check},
	{&sluice__v1__nat__descriptor, nat_check},
	{&sluice__v1__floating_ip__descriptor, floating_ip_check},
};

// Behind those of all kinds.
static void (*const last_checks[])(struct check *check) = {external_check};

static const char *string_fault(const char *text)
{
	if (strlen(text) > STRING_MAX)
		return "longer than 1024 bytes";
	while (*text) {
		size_t length = utf8_length(text);

		if (!length)
			return "is not UTF-8";
		// U+0080 to U+009F are control characters too: some terminals obey them.
		if ((unsigned char)*text < 0x20 || *text == 0x7f ||
		    (text[0] == '\xc2' && (unsigned char)text[1] < 0xa0))
			return "has control characters";
		text += length;
	}
	return NULL;
}

static void name_check(struct check *check, const Sluice__V1__Object *object)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const char *name = object_name(object);

	if (!*name)
		problems_add(check->problems, object, "name", "missing");
	else if (strlen(name) > NAME_MAX_LENGTH)
		problems_add(check->problems, object, "name", "longer than %d characters",
			     NAME_MAX_LENGTH);
	else if (name[strspn(name, allowed)] || strchr("._-", *name))
		problems_add(check->problems, object, "name",
			     "must begin with a letter or digit and have only letters, digits, "
			     "'.', '_' and '-'");
}

// Where a message is in its object; made into text only when something is wrong.
struct place {
	const struct place *outer; // NULL: the object
	const ProtobufCFieldDescriptor *field;
	size_t index;
};

static const char *place_path(const struct place *place, char path[CHECK_PATH_SIZE])
{
	char outer[CHECK_PATH_SIZE];
	char name[FIELD_NAME_SIZE];

	*path = 0;
	if (!place)
		return path;
	place_path(place->outer, outer);
	field_name(place->field, name);
	if (place->field->label == PROTOBUF_C_LABEL_REPEATED)
		return check_path(path, "%s%s%s[%zu]", outer, *outer ? "." : "", name,
				  place->index);
	return check_path(path, "%s%s%s", outer, *outer ? "." : "", name);
}

#define PLACE_PATH(place) place_path(place, (char[CHECK_PATH_SIZE]){0})

// May it have a list instead, and has it?
static bool has_list(const ProtobufCMessage *message, bool *may)
{
	*may = true;
	if (message->descriptor == &sluice__v1__uplink__descriptor)
		return ((const Sluice__V1__Uplink *)message)->n_devices;
	if (message->descriptor == &sluice__v1__device__descriptor)
		return ((const Sluice__V1__Device *)message)->n_devices;
	*may = false;
	return false;
}

static void oneof_check(struct check *check, const Sluice__V1__Object *object,
			const struct place *place, const ProtobufCMessage *message,
			const ProtobufCFieldDescriptor *first)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	char members[256] = "";
	size_t length = 0;
	char name[FIELD_NAME_SIZE];

	bool list;

	if (has_list(message, &list))
		return;
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];

		if (!field_in_oneof(field) || field->quantifier_offset != first->quantifier_offset)
			continue;
		// The first member speaks for all.
		if (field < first || field_count(field, message))
			return;
	}
	for (const ProtobufCFieldDescriptor *field = first; field < type->fields + type->n_fields;
	     field++)
		if (field_in_oneof(field) && field->quantifier_offset == first->quantifier_offset &&
		    length < sizeof(members))
			length +=
				(size_t)snprintf(members + length, sizeof(members) - length, "%s%s",
						 length ? ", " : "", field_name(field, name));
	problems_add(check->problems, object, PLACE_PATH(place), "needs one of %s%s", members,
		     list ? ", devices" : "");
}

static void message_check(struct check *check, const Sluice__V1__Object *object,
			  const struct place *outer, const ProtobufCMessage *message);

static void value_check(struct check *check, const Sluice__V1__Object *object,
			const struct place *place, const void *value)
{
	const ProtobufCFieldDescriptor *field = place->field;
	const char *fault;

	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		message_check(check, object, place, *(ProtobufCMessage *const *)value);
	} else if (field->type == PROTOBUF_C_TYPE_STRING) {
		fault = string_fault(*(char *const *)value);
		if (fault)
			problems_add(check->problems, object, PLACE_PATH(place), "%s", fault);
	} else if (field->type == PROTOBUF_C_TYPE_ENUM) {
		const ProtobufCEnumDescriptor *type = field->descriptor;
		int number = *(const int *)value;

		if (!protobuf_c_enum_descriptor_get_value(type, number))
			problems_add(check->problems, object, PLACE_PATH(place),
				     "%d is no value of %s", number, type->short_name);
	}
}

// Everything that holds for any message.
static void message_check(struct check *check, const Sluice__V1__Object *object,
			  const struct place *outer, const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;

	if (message->n_unknown_fields)
		problems_add(check->problems, object, PLACE_PATH(outer),
			     "has field number %u, which this version does not know",
			     message->unknown_fields[0].tag);
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		size_t count = field_count(field, message);

		if (field_has_alternatives(type, field))
			oneof_check(check, object, outer, message, field);
		for (size_t v = 0; v < count; v++) {
			struct place place = {.outer = outer, .field = field, .index = v};

			value_check(check, object, &place, field_value(field, message, v));
		}
	}
}

// All of a kind, those first that were there before.
static void objects_order(struct check *check, Sluice__V1__Object__KindCase kind)
{
	size_t count = object_set_count(check->set, kind), used = 0;
	struct check_objects *objects = &check->kinds[kind];
	bool all = !check->before || object_set_count(check->before, kind) == 0;

	objects->list = memory_new(count * sizeof(*objects->list));
	objects->count = count;
	for (int fresh = all; fresh < 2; fresh++) {
		for (size_t i = 0; i < count; i++) {
			const Sluice__V1__Object *object = object_set_at(check->set, kind, i);

			if (all || (object_set_find(check->before, kind, object_name(object)) !=
				    object) == fresh)
				objects->list[used++] = object;
		}
	}
}

// Numbers for names have 16 bits in the data plane, and 0 is none.
static void count_check(struct check *check, Sluice__V1__Object__KindCase kind)
{
	size_t max = kind == SLUICE__V1__OBJECT__KIND_SECURITY_GROUP ? SECURITY_GROUPS_MAX
								     : KIND_OBJECTS_MAX;

	if (check_count(check, kind) > max && kind != SLUICE__V1__OBJECT__KIND_PORT)
		problems_add(check->problems, check_at(check, kind, max), "",
			     "more than %zu objects of this kind", max);
}

void set_check(const struct object_set *set, const struct object_set *before,
	       struct problems *problems)
{
	struct check check = {
		.set = set, .before = before, .problems = problems, .devices = key_map_new()};
	Sluice__V1__Object__KindCase kind;

	for (size_t k = 0; (kind = kind_at(k)) != SLUICE__V1__OBJECT__KIND__NOT_SET; k++) {
		objects_order(&check, kind);
		count_check(&check, kind);
		for (size_t i = 0; i < check_count(&check, kind); i++) {
			const Sluice__V1__Object *object = check_at(&check, kind, i);

			name_check(&check, object);
			message_check(&check, object, NULL, object_message(object));
		}
	}
	for (size_t i = 0; i < sizeof(kind_checks) / sizeof(*kind_checks); i++)
		kind_checks[i].check(&check);
	for (size_t i = 0; i < sizeof(last_checks) / sizeof(*last_checks); i++)
		last_checks[i](&check);
	for (size_t k = 0; k < KIND_MAX; k++)
		free(check.kinds[k].list);
	key_map_free(check.devices);
}
