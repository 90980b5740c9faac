/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/status.h"
#include "tools/commands.h"
#include "tools/jsonout.h"
#include "tools/text.h"

struct facts {
	struct store_stats stats;
	struct snapshot_list list;
	const struct snapshot **hosts;	/* the newest of each host, the newest first; views of list */
	size_t nr_hosts;
	struct status_checked checked;
	struct status_damage damage;
	char **replicas;
	size_t nr_replicas;
};

/* Sorted by time: the last of a host is its newest.  What only vouch keeps is no backup. */
static enum err_code find_hosts(struct facts *f, struct err *e)
{
	f->hosts = calloc(f->list.nr + 1, sizeof(*f->hosts));
	if (!f->hosts)
		return err_set(e, ERR_NOMEM, "%zu snapshots", f->list.nr);
	for (size_t i = f->list.nr; i-- > 0;) {
		const struct snapshot *s = &f->list.all[i];
		bool known = snapshot_is_reserved(s);

		for (size_t k = 0; k < f->nr_hosts && !known; k++)
			known = strcmp(f->hosts[k]->host, s->host) == 0;
		if (!known)
			f->hosts[f->nr_hosts++] = s;
	}
	return ERR_OK;
}

static enum err_code gather(struct store *s, struct facts *f, struct err *e)
{
	enum err_code rc = snapshot_list_read(s, &f->list, e);

	if (!rc)
		rc = find_hosts(f, e);
	if (!rc)
		rc = status_checked(s, &f->checked, e);
	if (!rc)
		rc = status_damage(s, &f->damage, e);
	if (!rc)
		rc = status_replicas(s, &f->replicas, &f->nr_replicas, e);
	if (!rc)
		store_stats(s, &f->stats);
	return rc;
}

static void facts_release(struct facts *f)
{
	status_replicas_free(f->replicas, f->nr_replicas);
	free(f->hosts);
	snapshot_list_release(&f->list);
}

static void print_name(const char *s)
{
	struct buf b = BUF_INIT;

	text_escape_str(&b, s);
	if (!b.bad)
		fwrite(b.p, 1, b.len, stdout);
	buf_release(&b);
}

static void print_when(struct vtime t)
{
	int64_t age = (int64_t)time(NULL) - t.sec;
	char text[TEXT_LEN];

	fputs(text_time(t, text), stdout);
	if (age < 0)
		fputs(", in the future", stdout);
	else if (age < 7200)
		printf(", %" PRId64 " minutes ago", age / 60);
	else if (age < 172800)
		printf(", %" PRId64 " hours ago", age / 3600);
	else
		printf(", %" PRId64 " days ago", age / 86400);
}

/* Percent, rounded down: 100 is all. */
static unsigned percent(uint64_t part, uint64_t all)
{
	return all == 0 ? 100 : (unsigned)((double)part * 100 / (double)all);
}

static void print_checked(const struct status_checked *c)
{
	char size[TEXT_LEN];

	fputs("last verify  ", stdout);
	if (c->has_last) {
		print_when(c->last);
		fputs(" (", stdout);
		print_name(c->last_mode);
		puts(c->last_damaged ? "): DAMAGE was found" : ")");
	} else {
		puts("never");
	}
	for (size_t i = 0; i < STATUS_SPANS; i++)
		printf("%2u days      %s (%u %%) read from the medium and found good\n",
		       c->good[i].days, text_size(c->good[i].bytes, size),
		       percent(c->good[i].bytes, c->bytes));
}

static void print_text(struct store *s, const struct facts *f)
{
	char n[TEXT_LEN], size[TEXT_LEN], all[TEXT_LEN];

	fputs("repository   ", stdout);
	print_name(store_path(s));
	printf("\nid           %s\n", store_id_text(s));
	printf("packs        %s, %s\n", text_count(f->checked.packs, n),
	       text_size(f->checked.bytes, size));
	if (f->stats.total_bytes > 0)
		printf("free         %s of %s\n", text_size(f->stats.free_bytes, size),
		       text_size(f->stats.total_bytes, all));
	printf("snapshots    %s\n", text_count(f->list.nr, n));
	if (f->list.nr_bad > 0)
		printf("DAMAGED      %s snapshots, and their copies\n",
		       text_count(f->list.nr_bad, n));
	for (size_t i = 0; i < f->nr_hosts; i++) {
		fputs("last backup  ", stdout);
		print_name(f->hosts[i]->host);
		fputs(": ", stdout);
		print_when(f->hosts[i]->time);
		if (f->hosts[i]->errors > 0)
			printf("; %s files could not be read", text_count(f->hosts[i]->errors, n));
		putchar('\n');
	}
	print_checked(&f->checked);
	if (f->damage.places > 0)
		printf("DAMAGE       known and not mended: %s places in %" PRIu64
		       " packs; see 'vouch verify'\n", text_count(f->damage.places, n),
		       f->damage.packs);
	else
		puts("damage       none known");
	for (size_t i = 0; i < f->nr_replicas; i++) {
		fputs("copy         ", stdout);
		print_name(f->replicas[i]);
		putchar('\n');
	}
}

static json_t *json_hosts(const struct facts *f)
{
	json_t *all = json_array();

	for (size_t i = 0; i < f->nr_hosts; i++) {
		struct jsonout j = jsonout_begin(NULL);

		jsonout_bytes(&j, "host", f->hosts[i]->host, strlen(f->hosts[i]->host));
		jsonout_str(&j, "snapshot", f->hosts[i]->name);
		jsonout_time(&j, "time", f->hosts[i]->time);
		jsonout_u64(&j, "errors", f->hosts[i]->errors);
		if (j.bad || json_array_append_new(all, j.object)) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static json_t *json_verified(const struct status_checked *c)
{
	json_t *all = json_array();

	for (size_t i = 0; i < STATUS_SPANS; i++) {
		struct jsonout j = jsonout_begin(NULL);

		jsonout_u64(&j, "days", c->good[i].days);
		jsonout_u64(&j, "packs", c->good[i].packs);
		jsonout_u64(&j, "bytes", c->good[i].bytes);
		jsonout_real(&j, "percent",
			     c->bytes ? (double)c->good[i].bytes * 100 / (double)c->bytes : 100);
		if (j.bad || json_array_append_new(all, j.object)) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static bool print_json(struct store *s, const struct facts *f)
{
	struct jsonout j = jsonout_begin("status");

	jsonout_bytes(&j, "repository", store_path(s), strlen(store_path(s)));
	jsonout_str(&j, "id", store_id_text(s));
	jsonout_u64(&j, "packs", f->checked.packs);
	jsonout_u64(&j, "bytes", f->checked.bytes);
	jsonout_u64(&j, "chunks", f->stats.chunks);
	if (f->stats.total_bytes > 0) {
		jsonout_u64(&j, "free_bytes", f->stats.free_bytes);
		jsonout_u64(&j, "total_bytes", f->stats.total_bytes);
	}
	jsonout_u64(&j, "snapshots", f->list.nr);
	jsonout_u64(&j, "damaged_snapshots", f->list.nr_bad);
	jsonout_put(&j, "hosts", json_hosts(f));
	if (f->checked.has_last) {
		jsonout_time(&j, "last_verify", f->checked.last);
		jsonout_str(&j, "last_verify_mode", f->checked.last_mode);
		jsonout_bool(&j, "last_verify_damaged", f->checked.last_damaged);
	}
	jsonout_put(&j, "verified", json_verified(&f->checked));
	jsonout_u64(&j, "known_damage", f->damage.places);
	jsonout_u64(&j, "known_damaged_packs", f->damage.packs);
	jsonout_strings(&j, "replicas", f->replicas, f->nr_replicas);
	return jsonout_end(&j);
}

static int run(struct app *a, int argc, char **argv)
{
	static const struct option longs[] = { APP_LONG_OPTIONS, APP_LONG_JSON, APP_LONG_END };
	struct facts f = { .nr_hosts = 0 };
	struct store *s = NULL;
	struct err e = ERR_INIT;
	int status, c;

	while ((c = app_getopt(a, argc, argv, ":hr:", longs)) != -1)
		return app_getopt_status(c);
	if (argc - optind > 1)
		return app_usage(a, "one repository at most");
	if (optind < argc)
		a->repo = argv[optind];
	status = app_open(a, STORE_READ, false, &s);
	if (status)
		return status;
	if (gather(s, &f, &e)) {
		status = app_fail(a, &e);
	} else {
		progress_clear(a->progress);
		if (!a->json)
			print_text(s, &f);
		else if (!print_json(s, &f))
			status = STATUS_FAILED;
		if (!status && (f.damage.places > 0 || f.list.nr_bad > 0))
			status = STATUS_DAMAGE;
	}
	facts_release(&f);
	store_close(s);
	return status;
}

const struct command cmd_status = {
	.name = "status",
	.summary = "how the repository is: space, last backups, what was verified",
	.usage = "usage: vouch status [--json] [REPOSITORY]\n"
		 "Packs, snapshots, free space, the last backup of each host, the last verify, how much was read\n"
		 "from the medium and found good in 7, 30 and 90 days, damage that is known, copies that are known.\n"
		 "No pack is read.  Exit status 4: damage is known.\n\n"
		 "  --json             the same as a JSON object\n",
	.run = run,
};
