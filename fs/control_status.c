/* SPDX-License-Identifier: MIT */
/* "status" for people, and "metrics" for Prometheus: the same facts. */
#include <inttypes.h>
#include <string.h>

#include "fs/control_impl.h"
#include "store/base/checked.h"

struct facts_now {
	struct store_stats stats;
	struct medium medium;
	struct timespec now;
	uint64_t snapshots;
	bool has_newest;
	char newest[SNAP_NAME_MAX];
	struct vtime newest_time;
	bool has_checked;
	struct status_checked checked;
};

#define CHECKED_SEC	60	/* a log may have megabytes, and metrics are asked for often */

static int64_t monotonic(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec;
}

bool control_checked(const struct ctl *c, struct status_checked *out)
{
	struct control *k = c->fs->control;
	struct status_checked fresh;
	int64_t now = monotonic();
	bool old, has;

	must(pthread_mutex_lock(&k->mutex));
	old = !k->has_checked || now - k->checked_at >= CHECKED_SEC;
	must(pthread_mutex_unlock(&k->mutex));
	if (old && status_checked(c->fs->store, &fresh, NULL))
		old = false;	/* the drive is away: what was known */
	must(pthread_mutex_lock(&k->mutex));
	if (old) {
		k->checked = fresh;
		k->checked_at = now;
		k->has_checked = true;
	}
	has = k->has_checked;
	*out = k->checked;
	must(pthread_mutex_unlock(&k->mutex));
	return has;
}

static void look(const struct ctl *c, struct facts_now *f)
{
	const struct snap_list *l = snaps_get(c->fs->snaps);

	*f = (struct facts_now){ .snapshots = l->nr_live, .has_newest = l->newest != NULL };
	if (l->newest) {
		memcpy(f->newest, l->newest->shown, sizeof(f->newest));
		f->newest_time = l->newest->time;
	}
	snaps_put(l);
	store_stats(c->fs->store, &f->stats);
	f->has_checked = control_checked(c, &f->checked);
	f->medium = control_medium_now(c->fs->control);
	if (clock_gettime(CLOCK_REALTIME, &f->now) < 0)
		f->now.tv_sec = 0;
}

/* One line, whatever is in it: a path may have a newline. */
static void add_line(struct buf *out, const char *s)
{
	ctl_add_escaped(out, s);
	buf_add_u8(out, '\n');
}

static void add_time(struct buf *out, const struct timespec *t)
{
	char text[32];
	struct tm tm;

	if (gmtime_r(&t->tv_sec, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		buf_printf(out, "%s UTC", text);
	else
		buf_add_str(out, "an unknown time");
}

static void add_age(struct buf *out, int64_t sec)
{
	if (sec < 0)
		buf_add_str(out, "in the future");
	else if (sec < 120)
		buf_printf(out, "%" PRId64 " s ago", sec);
	else if (sec < 2 * 3600)
		buf_printf(out, "%" PRId64 " minutes ago", sec / 60);
	else if (sec < 48 * 3600)
		buf_printf(out, "%" PRId64 " hours ago", sec / 3600);
	else
		buf_printf(out, "%" PRId64 " days ago", sec / 86400);
}

static void add_bytes(struct buf *out, uint64_t n)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)n;
	size_t i = 0;

	if (n < 1024) {
		buf_printf(out, "%" PRIu64 " bytes", n);
		return;
	}
	for (v /= 1024; v >= 1024 && i + 1 < ARRAY_LEN(units); i++)
		v /= 1024;
	buf_printf(out, "%.1f %s", v, units[i]);
}

static void add_medium(struct buf *out, const struct medium *m)
{
	buf_add_str(out, "medium      ");
	if (m->there) {
		buf_add_str(out, "there\n");
		return;
	}
	buf_add_str(out, "NOT READABLE since ");
	add_time(out, &m->since);
	buf_add_str(out, ": ");
	add_line(out, m->why);
}

/* Percent, rounded down: 100 is all. */
static unsigned share(uint64_t part, uint64_t all)
{
	return all == 0 ? 100 : (unsigned)((double)part * 100 / (double)all);
}

static void add_checked(struct buf *out, const struct facts_now *f)
{
	const struct status_checked *k = &f->checked;

	buf_add_str(out, "last check  ");
	if (k->has_last) {
		add_age(out, (int64_t)f->now.tv_sec - k->last.sec);
		buf_add_str(out, " (");
		ctl_add_escaped(out, k->last_mode);
		buf_add_str(out, k->last_damaged ? "): DAMAGE was found\n" : ")\n");
	} else {
		buf_add_str(out, "never\n");
	}
	for (size_t i = 0; i < STATUS_SPANS; i++) {
		buf_printf(out, "%2u days     ", k->good[i].days);
		add_bytes(out, k->good[i].bytes);
		buf_printf(out, " (%u %%) read from the medium and found good\n",
			   share(k->good[i].bytes, k->bytes));
	}
}

void status_text(const struct ctl *c, struct buf *out)
{
	struct facts_now f;

	look(c, &f);
	buf_printf(out, "vouch %s\nrepository  ", store_version());
	add_line(out, store_path(c->fs->store));
	buf_printf(out, "id          %s\n", store_id_text(c->fs->store));
	add_medium(out, &f.medium);
	buf_add_str(out, "mounted     ");
	add_time(out, &c->fs->control->began);
	buf_printf(out, "\nsnapshots   %" PRIu64 "\n", f.snapshots);
	if (f.has_newest) {
		buf_printf(out, "newest      %s, ", f.newest);
		add_age(out, (int64_t)f.now.tv_sec - f.newest_time.sec);
		buf_add_u8(out, '\n');
	}
	buf_printf(out, "index       %" PRIu64 " packs, %" PRIu64 " chunks\nread        ",
		   f.stats.packs, f.stats.chunks);
	add_bytes(out, f.stats.bytes_read);
	buf_printf(out, " of the medium in %" PRIu64 " blocks, since it was mounted\nverified    ",
		   f.stats.blocks_read);
	add_bytes(out, f.stats.bytes_checked);
	buf_add_str(out, " against their SHA-256\ncache       ");
	add_bytes(out, f.stats.cache_bytes);
	buf_printf(out, " held; it had %" PRIu64 " of %" PRIu64 " pieces asked for, and %" PRIu64
		   " blocks were read ahead\n", f.stats.cache_hits,
		   f.stats.cache_hits + f.stats.cache_misses, f.stats.blocks_ahead);
	if (f.has_checked)
		add_checked(out, &f);
	if (f.stats.damaged)
		buf_printf(out, "damage      MET %" PRIu64 " TIMES, %" PRIu64 " of them healed: see "
			   CONTROL_NAME "/damage\n", f.stats.damaged, f.stats.healed);
	else
		buf_add_str(out, "damage      none met in what was read\n");
	if (f.stats.mended)
		buf_printf(out, "mended      %" PRIu64 " packs and records, where they lie\n",
			   f.stats.mended);
}

static void metric(struct buf *out, const char *name, const char *type, const char *help,
		   uint64_t value)
{
	buf_printf(out, "# HELP vouch_%s %s\n# TYPE vouch_%s %s\nvouch_%s %" PRIu64 "\n", name, help,
		   name, type, name, value);
}

/* What verify has read of all there is. */
static void checked_metrics(struct buf *out, const struct status_checked *k)
{
	metric(out, "repository_bytes", "gauge", "Bytes of all packs known to the index.", k->bytes);
	if (k->has_last && k->last.sec >= 0)
		metric(out, "last_verify_timestamp_seconds", "gauge",
		       "When a verification last came to its end.", (uint64_t)k->last.sec);
	buf_add_str(out, "# HELP vouch_verified_bytes Bytes of packs that a verification read from the "
			 "medium and found good in so many days.\n# TYPE vouch_verified_bytes gauge\n");
	for (size_t i = 0; i < STATUS_SPANS; i++)
		buf_printf(out, "vouch_verified_bytes{days=\"%u\"} %" PRIu64 "\n", k->good[i].days,
			   k->good[i].bytes);
	buf_add_str(out, "# HELP vouch_verified_ratio The same as a share of all, 0 to 1.\n"
			 "# TYPE vouch_verified_ratio gauge\n");
	for (size_t i = 0; i < STATUS_SPANS; i++)
		buf_printf(out, "vouch_verified_ratio{days=\"%u\"} %.4f\n", k->good[i].days,
			   k->bytes ? (double)k->good[i].bytes / (double)k->bytes : 1.0);
}

static uint64_t age_of(const struct facts_now *f)
{
	int64_t age = (int64_t)f->now.tv_sec - f->newest_time.sec;

	return age > 0 ? (uint64_t)age : 0;
}

void metrics_text(const struct ctl *c, struct buf *out)
{
	struct facts_now f;

	look(c, &f);
	metric(out, "repository_available", "gauge",
	       "1 if the repository could be read at the last look, a second ago at most, else 0.",
	       f.medium.there);
	metric(out, "snapshots", "gauge", "Snapshots shown.", f.snapshots);
	if (f.has_newest && f.newest_time.sec >= 0)
		metric(out, "newest_snapshot_timestamp_seconds", "gauge",
		       "When the newest snapshot was begun.", (uint64_t)f.newest_time.sec);
	if (f.has_newest)
		metric(out, "newest_snapshot_age_seconds", "gauge",
		       "How long ago that was; 0 where it is in the future.", age_of(&f));
	metric(out, "mount_start_timestamp_seconds", "gauge", "When this mount was begun.",
	       (uint64_t)c->fs->control->began.tv_sec);
	metric(out, "packs", "gauge", "Packs known to the index.", f.stats.packs);
	metric(out, "chunks", "gauge", "Chunks known to the index.", f.stats.chunks);
	metric(out, "read_blocks_total", "counter", "Blocks read from the medium.",
	       f.stats.blocks_read);
	metric(out, "read_bytes_total", "counter", "Stored bytes read from the medium.",
	       f.stats.bytes_read);
	metric(out, "verified_bytes_total", "counter",
	       "Plain bytes whose SHA-256 was checked after they were read.",
	       f.stats.bytes_checked);
	metric(out, "read_ahead_blocks_total", "counter",
	       "Blocks read from the medium before anybody asked for them.", f.stats.blocks_ahead);
	metric(out, "cache_bytes", "gauge", "Bytes of blocks held in memory.",
	       f.stats.cache_bytes);
	metric(out, "cache_hits_total", "counter",
	       "Reads of a chunk that was in memory.", f.stats.cache_hits);
	metric(out, "cache_misses_total", "counter",
	       "Reads of a chunk that had to come from the medium.", f.stats.cache_misses);
	metric(out, "damage_total", "counter", "Damaged or missing chunks met.", f.stats.damaged);
	metric(out, "healed_total", "counter", "Of these, read right all the same.", f.stats.healed);
	metric(out, "mended_total", "counter", "Packs and records made whole where they lie.",
	       f.stats.mended);
	if (f.has_checked)
		checked_metrics(out, &f.checked);
}
