// What is generated and committed: docs/reference, docs/man, packaging/config. A program for
// building, not for users.

#pragma once

// Markdown on standard output, from api/sluice.proto.
void objects_markdown(void);
void api_markdown(void);

// Manual pages (mdoc) on standard output, from the tables that make --help, and the proto.
void sluice_manual(void);
void sluiced_manual(void);
void objects_manual(void);

// The configuration that the package installs, from the table of the daemon's options.
void sluiced_configuration(void);
