/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/text.h"

enum {
	OPT_ZSTD_LEVEL = APP_OPT_FIRST,
	OPT_CHUNK_MIN,
	OPT_CHUNK_AVG,
	OPT_CHUNK_MAX,
	OPT_BLOCK,
	OPT_PACK,
	OPT_PARITY
};

/* Sizes have room in 32 bits, and store_create() knows what suits together. */
static bool take_size(struct app *a, const char *option, const char *text, uint32_t *out)
{
	uint64_t v;

	if (!text_parse_size(text, &v) || v == 0 || v > UINT32_MAX) {
		app_usage(a, "%s needs a size like 256K or 1M", option);
		return false;
	}
	*out = (uint32_t)v;
	return true;
}

static bool take_level(struct app *a, const char *text, int *out)
{
	long n;

	if (!text_parse_long(text, 1, 19, &n)) {
		app_usage(a, "--zstd-level needs a number from 1 to 19");
		return false;
	}
	*out = (int)n;
	return true;
}

static bool take_parity(struct app *a, const char *text, uint32_t *out)
{
	uint32_t permille;

	if (!text_parse_permille(text, &permille) || permille > 500) {
		app_usage(a, "--parity needs a share like 5%% or 2.5%%, up to 50%%, or 0");
		return false;
	}
	*out = permille ? permille : STORE_PARITY_NONE;
	return true;
}

/* 0, or app_getopt's APP_HELP or APP_BAD. */
static int parse(struct app *a, int argc, char **argv, struct store_create_params *p)
{
	static const struct option longs[] = {
		APP_LONG_OPTIONS,
		APP_LONG_JSON,
		APP_LONG_QUIET,
		{ "zstd-level", required_argument, NULL, OPT_ZSTD_LEVEL },
		{ "chunk-min", required_argument, NULL, OPT_CHUNK_MIN },
		{ "chunk-avg", required_argument, NULL, OPT_CHUNK_AVG },
		{ "chunk-max", required_argument, NULL, OPT_CHUNK_MAX },
		{ "block", required_argument, NULL, OPT_BLOCK },
		{ "pack", required_argument, NULL, OPT_PACK },
		{ "parity", required_argument, NULL, OPT_PARITY },
		APP_LONG_END
	};
	bool good = true;
	int c;

	while (good && (c = app_getopt(a, argc, argv, ":hqr:", longs)) != -1) {
		switch (c) {
		case OPT_ZSTD_LEVEL:
			good = take_level(a, optarg, &p->zstd_level);
			break;
		case OPT_CHUNK_MIN:
			good = take_size(a, "--chunk-min", optarg, &p->chunk_min);
			break;
		case OPT_CHUNK_AVG:
			good = take_size(a, "--chunk-avg", optarg, &p->chunk_avg);
			break;
		case OPT_CHUNK_MAX:
			good = take_size(a, "--chunk-max", optarg, &p->chunk_max);
			break;
		case OPT_BLOCK:
			good = take_size(a, "--block", optarg, &p->block_len);
			break;
		case OPT_PACK:
			good = take_size(a, "--pack", optarg, &p->pack_len);
			break;
		case OPT_PARITY:
			good = take_parity(a, optarg, &p->parity);
			break;
		default:
			return c;
		}
	}
	/* A change of the average alone moves the bounds with it, in the proportions of the defaults. */
	if (p->chunk_avg && !p->chunk_min)
		p->chunk_min = p->chunk_avg / 4;
	if (p->chunk_avg && !p->chunk_max)
		p->chunk_max = p->chunk_avg <= UINT32_MAX / 4 ? p->chunk_avg * 4 : UINT32_MAX;
	return good ? 0 : APP_BAD;
}

/* FAT and exFAT give every file the mode of the mount, whatever was asked for. */
static bool has_modes(struct store *s)
{
	struct buf path = BUF_INIT;
	struct stat st;
	bool has = true;

	buf_printf(&path, "%s/vouch.json", store_path(s));
	if (!path.bad && stat((const char *)path.p, &st) == 0)
		has = (st.st_mode & 077) == 0;
	buf_release(&path);
	return has;
}

static bool report(struct app *a, struct store *s, bool modes)
{
	struct buf path = BUF_INIT;
	struct jsonout j;
	bool good = true;

	if (a->json) {
		j = jsonout_begin("repository");
		jsonout_str(&j, "path", store_path(s));
		jsonout_str(&j, "id", store_id_text(s));
		jsonout_bool(&j, "modes", modes);
		return jsonout_end(&j);
	}
	text_escape_str(&path, store_path(s));
	buf_add_u8(&path, '\0');
	if (!path.bad && !a->quiet)
		good = printf("made the repository %s (id %s)\n"
			      "to use it: export VOUCH_REPO=%s; vouch backup PATH...\n",
			      (char *)path.p, store_id_text(s), (char *)path.p) > 0;
	buf_release(&path);
	return good;
}

static int run(struct app *a, int argc, char **argv)
{
	struct store_create_params p = { 0 };
	struct err e = ERR_INIT;
	struct store *s = NULL;
	int status, c = parse(a, argc, argv, &p);
	bool modes;

	if (c)
		return app_getopt_status(c);
	if (argc - optind > 1)
		return app_usage(a, "one PATH, please");
	if (optind < argc)
		a->repo = argv[optind];
	if (!a->repo || !*a->repo)
		return app_usage(a, "no PATH given for the new repository");
	if (store_create(a->repo, &p, &e)) {
		/* The folder it should lie in is on a drive that is not there. */
		if (e.code == ERR_NOT_FOUND)
			e.code = ERR_ABSENT;
		return app_fail(a, &e);
	}
	status = app_open(a, STORE_READ, false, &s);
	if (status)
		return status;
	modes = has_modes(s);
	if (!report(a, s, modes))
		status = STATUS_FAILED;
	if (!modes)
		app_say(a, "warning",
			"the medium keeps no file modes and the repository is not encrypted: "
			"whoever can read the drive can read every backup on it");
	store_close(s);
	return status;
}

const struct command cmd_init = {
	.name = "init",
	.summary = "make a repository",
	.usage = "usage: vouch init [OPTION...] PATH\n"
		 "Make a repository in the folder PATH, which is empty or not there yet.\n\n"
		 "  --zstd-level N     how hard to compress, 1 to 19 (default 3)\n"
		 "  --chunk-avg SIZE   average length of a chunk (default 256K); --chunk-min, --chunk-max:\n"
		 "                     its bounds (a quarter and four times that)\n"
		 "  --block SIZE       how much is compressed as one (default 1M)\n"
		 "  --pack SIZE        how large a pack file becomes (default 32M)\n"
		 "  --parity SHARE     how much is added to heal what a medium loses (default 3%; 0: nothing)\n"
		 "  --json             say what was made as JSON\n"
		 "  -q, --quiet        say nothing but warnings\n",
	.run = run,
};
