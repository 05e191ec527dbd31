// Checks of Vrf: it has nothing but its name yet.

#include "model/kind/check.h"

void vrf_check(struct check *check)
{
	(void)check;
}
