// Anchors, aliases and merge keys of YAML.

#include "model/yaml_alias.h"

#include <stdint.h>

#include "model/key_map.h"
#include "model/memory.h"

struct anchor {
	char *name;
	struct yaml_node *node;
};

struct yaml_anchors {
	struct anchor *list;
	size_t count;
	size_t capacity;
	struct key_map *places; // in the list plus one, by name
};

struct yaml_anchors *yaml_anchors_new(void)
{
	struct yaml_anchors *anchors = memory_new(sizeof(*anchors));

	anchors->places = key_map_new();
	return anchors;
}

void yaml_anchors_free(struct yaml_anchors *anchors)
{
	if (!anchors)
		return;
	for (size_t i = 0; i < anchors->count; i++) {
		free(anchors->list[i].name);
		yaml_node_free(anchors->list[i].node);
	}
	free(anchors->list);
	key_map_free(anchors->places);
	free(anchors);
}

// Without what is behind it. Depth is bounded by the reader.
static struct yaml_node *node_copy(const struct yaml_node *node, size_t *budget)
{
	struct yaml_node *copy;
	struct yaml_node **tail;

	if (*budget == 0)
		return NULL;
	--*budget;
	copy = memory_new(sizeof(*copy));
	*copy = *node;
	copy->next = NULL;
	copy->first = NULL;
	copy->text = node->text ? memory_text(node->text) : NULL;
	copy->key = node->key ? memory_text(node->key) : NULL;
	tail = &copy->first;
	for (const struct yaml_node *child = node->first; child; child = child->next) {
		*tail = node_copy(child, budget);
		if (!*tail) {
			yaml_node_free(copy);
			return NULL;
		}
		tail = &(*tail)->next;
	}
	return copy;
}

static struct anchor *anchor_find(const struct yaml_anchors *anchors, const char *name)
{
	uintptr_t place = (uintptr_t)key_map_find(anchors->places, name, strlen(name));

	return place ? &anchors->list[place - 1] : NULL;
}

bool yaml_anchors_add(struct yaml_anchors *anchors, const char *name, const struct yaml_node *node,
		      size_t *budget)
{
	struct yaml_node *copy = node_copy(node, budget);
	struct anchor *anchor = anchor_find(anchors, name);

	if (!copy)
		return false;
	// The key is that of the place where the anchor is.
	free(copy->key);
	copy->key = NULL;
	if (!anchor) {
		anchors->list = memory_grow(anchors->list, anchors->count, &anchors->capacity,
					    sizeof(*anchors->list));
		anchor = &anchors->list[anchors->count++];
		*anchor = (struct anchor){.name = memory_text(name)};
		key_map_add(anchors->places, name, strlen(name),
			    (const void *)(uintptr_t)anchors->count);
	}
	yaml_node_free(anchor->node);
	anchor->node = copy;
	return true;
}

struct yaml_node *yaml_anchors_copy(const struct yaml_anchors *anchors, const char *name,
				    size_t *budget, bool *found)
{
	const struct anchor *anchor = anchor_find(anchors, name);

	*found = anchor != NULL;
	return anchor ? node_copy(anchor->node, budget) : NULL;
}

// Moves the items of `from` whose keys are new behind `*tail`, and returns the new one.
static struct yaml_node **items_move(struct yaml_node *mapping, struct yaml_node *from,
				     struct key_map *keys, struct yaml_node **tail)
{
	struct yaml_node *item = from->first, **moved = tail;

	from->first = NULL;
	from->count = 0;
	while (item) {
		struct yaml_node *next = item->next;

		item->next = NULL;
		if (key_map_find(keys, item->key, strlen(item->key))) {
			yaml_node_free(item);
		} else {
			*tail = item;
			tail = &item->next;
			mapping->count++;
		}
		item = next;
	}
	// What one mapping says twice is for the decoder to see.
	for (item = *moved; item; item = item->next)
		key_map_add(keys, item->key, strlen(item->key), item);
	return tail;
}

bool yaml_merge(struct yaml_node *mapping)
{
	struct yaml_node **place = &mapping->first, **tail, *merge;
	struct key_map *keys;
	bool valid = true;

	while (*place && !((*place)->key_plain && strcmp((*place)->key, "<<") == 0))
		place = &(*place)->next;
	merge = *place;
	if (!merge)
		return true;
	*place = merge->next;
	merge->next = NULL;
	mapping->count--;
	keys = key_map_new();
	for (tail = &mapping->first; *tail; tail = &(*tail)->next)
		key_map_add(keys, (*tail)->key, strlen((*tail)->key), *tail);
	if (merge->kind == YAML_MAPPING)
		items_move(mapping, merge, keys, tail);
	else if (merge->kind == YAML_LIST)
		for (struct yaml_node *part = merge->first; part && valid; part = part->next) {
			valid = part->kind == YAML_MAPPING;
			if (valid)
				tail = items_move(mapping, part, keys, tail);
		}
	else
		valid = false;
	key_map_free(keys);
	yaml_node_free(merge);
	return valid;
}
