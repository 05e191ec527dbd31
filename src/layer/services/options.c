#include "layer/services/options.h"

#include <stdlib.h>
#include <string.h>

bool service_options_add(struct service_options *options, uint16_t code, const void *data,
			 uint32_t size)
{
	struct service_option *list;
	uint8_t *bytes;

	if (!size || size > UINT16_MAX)
		return true;
	list = realloc(options->list, (options->count + 1) * sizeof(*list));
	if (!list)
		return false;
	options->list = list;
	bytes = realloc(options->bytes, options->size + size);
	if (!bytes)
		return false;
	options->bytes = bytes;
	memcpy(bytes + options->size, data, size);
	list[options->count++] = (struct service_option){
		.code = code, .size = (uint16_t)size, .offset = options->size};
	options->size += size;
	return true;
}

void service_options_free(struct service_options *options)
{
	free(options->list);
	free(options->bytes);
}
