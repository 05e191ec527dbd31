// Checks of the helpers of a Nat or FloatingIp.

#include "model/kind/check.h"

// As the data plane has them (layer/nat/helper.h).
#define PORTS_MAX 8

static void ports_check(struct check *check, const Sluice__V1__Object *object,
			const Sluice__V1__NatHelper *helper, size_t index)
{
	if (helper->n_ports > PORTS_MAX)
		problems_add(check->problems, object, CHECK_PATH("helpers[%zu].ports", index),
			     "more than %d", PORTS_MAX);
	for (size_t i = 0; i < helper->n_ports; i++) {
		const char *field = CHECK_PATH("helpers[%zu].ports[%zu]", index, i);

		check_port_number(check, object, field, helper->ports[i]);
		for (size_t j = 0; j < i; j++)
			if (helper->ports[j] == helper->ports[i])
				problems_add(check->problems, object, field, "%u is given twice",
					     helper->ports[i]);
	}
}

void check_nat_helpers(struct check *check, const Sluice__V1__Object *object,
		       Sluice__V1__NatHelper *const *helpers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *field = CHECK_PATH("helpers[%zu].protocol", i);

		if (!helpers[i]->protocol)
			problems_add(check->problems, object, field, "missing");
		for (size_t j = 0; j < i; j++)
			if (helpers[i]->protocol && helpers[j]->protocol == helpers[i]->protocol)
				problems_add(check->problems, object, field, "given twice");
		ports_check(check, object, helpers[i], i);
	}
}
