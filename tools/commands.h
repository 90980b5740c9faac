/* SPDX-License-Identifier: MIT */
/* The subcommands: each cmd_NAME.c defines one. */
#ifndef VOUCH_TOOLS_COMMANDS_H
#define VOUCH_TOOLS_COMMANDS_H

#include "tools/common.h"

extern const struct command cmd_init;
extern const struct command cmd_backup;
extern const struct command cmd_snapshots;
extern const struct command cmd_ls;
extern const struct command cmd_cat;
extern const struct command cmd_diff;
extern const struct command cmd_mount;
extern const struct command cmd_restore;
extern const struct command cmd_status;
extern const struct command cmd_verify;
extern const struct command cmd_forget;
extern const struct command cmd_prune;
extern const struct command cmd_parity;
extern const struct command cmd_sync;
extern const struct command cmd_repair;
extern const struct command cmd_key;
extern const struct command cmd_check;
extern const struct command cmd_history;
extern const struct command cmd_run;
extern const struct command cmd_validate;
extern const struct command cmd_recover;
extern const struct command cmd_rollback;

#endif
