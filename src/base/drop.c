#include "base/drop.h"

static const char *const names[DROP_REASON_COUNT] = {[DROP_NONE] = "none",
#define X(name, text, description) [DROP_##name] = text,
						     DROP_REASONS(X)
#undef X
};

static const char *const descriptions[DROP_REASON_COUNT] = {[DROP_NONE] = "",
#define X(name, text, description) [DROP_##name] = description,
							    DROP_REASONS(X)
#undef X
};

const char *drop_reason_name(enum drop_reason reason)
{
	return names[reason];
}

const char *drop_reason_description(enum drop_reason reason)
{
	return descriptions[reason];
}
