// What the log says of a change of desired state.

#pragma once

#include "model/store.h"
#include "model/transaction.h"

// Before the transaction's sets go: a line an object that changed; where there are many, a line a
// kind with their numbers. `from`: where the user's call came from; NULL: nowhere.
void change_log(const struct transaction *transaction, const struct store_record *record,
		const char *from);
