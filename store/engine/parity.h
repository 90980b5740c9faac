/* SPDX-License-Identifier: MIT */
/*
 * Parity of packs: written when a pack is sealed, read when the medium gives wrong bytes or none.  Reed-Solomon by
 * ISA-L; format/parfile.h has the file.  A pack may have none: ERR_NOT_FOUND everywhere.
 *
 * A sector's checksum finds damage, and every rebuilt sector has been compared with its own; but it is 64 bits that
 * anybody can compute: as everywhere, only the SHA-256 of chunk or pack vouches, and callers check it.
 *
 * What a medium does not give (EIO) is treated like what it gives wrongly.  ERR_ABSENT, ERR_NOMEM come through.
 * Any thread may make any of these calls; none changes a pack but parity_mend.
 */
#ifndef VOUCH_ENGINE_PARITY_H
#define VOUCH_ENGINE_PARITY_H

#include "store/backend/backend.h"
#include "store/format/parfile.h"

#define PARITY_PERMILLE_DEFAULT 30u

/** "packs/3f/3f9a….par" */
#define PARITY_NAME_LEN (6 + 3 + 64 + 4)
void parity_name(const struct object_id *id, char out[PARITY_NAME_LEN + 1]);
/** The pack's id in such a name; false where it is not one. */
bool parity_name_parse(const char *name, struct object_id *id);

/** What was found.  Sectors are of 4 KiB. */
struct parity_report {
	uint32_t permille;	/* the share the file was made with */
	uint64_t pack_len;	/* bytes the pack has when it is whole */
	uint64_t par_len;	/* and the parity file */
	uint32_t sectors;	/* of the pack */
	uint32_t bad;		/* of these: damaged, unreadable, or not there */
	uint32_t rebuilt;	/* of the bad: right again (parity_check: can be made right) */
	uint32_t lost;		/* bad - rebuilt */
	uint32_t unchecked;	/* whose checksums are lost in both copies: taken as the medium gives them */
	uint32_t par_sectors;	/* of the parity file */
	uint32_t par_bad;	/* of these: damaged, unreadable, or not there */
	uint32_t worst;		/* bad sectors, of pack and parity, of the stripe that has most ... */
	uint32_t reach;		/* ... and how many a stripe may have: worst > reach means lost */
	bool longer;		/* pack or parity file go on beyond their end */
	bool pack_mended, par_mended;	/* parity_mend: written anew */
};

/** Sums of a pack's sectors, gathered while it is written. */
struct parity_sums;
MUST_CHECK enum err_code parity_sums_open(struct parity_sums **out, struct err *e);
void parity_sums_add(struct parity_sums *s, const void *buf, size_t len);	/* out of memory: parity_put tells */
void parity_sums_close(struct parity_sums *s);	/* NULL is allowed */

/**
 * The parity file of a pack that is being put, complete: *out is to be committed under parity_name, before the pack.
 * Never of rot: what is read back of the pack is compared with sums, gathered when it was in memory and
 * its SHA-256 was taken.  (It is read back because the code follows from the pack's length, known at its end.)
 * ERR_CORRUPT: they differ; ERR_LIMIT: permille.  Memory: the parity (share of the pack) and 2 MiB.
 */
MUST_CHECK enum err_code parity_put(struct backend *b, const struct object_id *pack,
				    struct backend_put *from, uint32_t permille,
				    const struct parity_sums *sums, struct backend_put **out,
				    struct err *e);

/** So many bytes of the pack were read; an error ends the work, and is returned. */
typedef enum err_code parity_tick(void *ctx, size_t len, struct err *e);

/**
 * The parity file of a pack that has its name; one that is there is replaced.  Never of rot: what is read is compared with
 * the pack's SHA-256 before anything is named.  ERR_CORRUPT: it is another; ERR_LIMIT: permille, or the pack's
 * length.  tick may be NULL.  Memory as parity_put.
 */
MUST_CHECK enum err_code parity_write(struct backend *b, const struct object_id *pack,
				      uint32_t permille, parity_tick *tick, void *ctx,
				      struct err *e);

/** What parity_get had to do. */
struct parity_got {
	uint32_t healed;	/* sectors of the range that are rebuilt */
	uint32_t unchecked;	/* that have no checksum any more: as the medium gave them */
};

/**
 * The bytes off ... off + len - 1 of the pack as they were written, although the pack is damaged, cut short or
 * not there.  ERR_CORRUPT: more is lost than can be rebuilt (ERR_IO where that is because reads failed);
 * ERR_NOT_FOUND: no parity file; ERR_USAGE: the range leaves the pack.  buf is undefined after an error;
 * got may be NULL.  Costs up to 255 reads a damaged stripe: not for the usual way of reading.
 */
MUST_CHECK enum err_code parity_get(struct backend *b, const struct object_id *pack, uint64_t off,
				    size_t len, uint8_t *buf, struct parity_got *got,
				    struct err *e);

/** The bytes that the pack has when it is whole, as its parity file says. */
MUST_CHECK enum err_code parity_pack_len(struct backend *b, const struct object_id *pack,
					 uint64_t *len, struct err *e);

/** Takes the pack's bytes, in order; an error stops the rebuilding and is returned. */
typedef enum err_code parity_sink(void *ctx, const uint8_t *buf, size_t len, struct err *e);

/**
 * The whole pack as it was written, piece by piece.  ERR_CORRUPT, report->lost > 0: it cannot be; the sink was given
 * nothing.  ERR_CORRUPT, lost = 0: the SHA-256 of what the sink got is not the pack's name (it has got all by then).
 * *report is set in these cases too.
 */
MUST_CHECK enum err_code parity_rebuild(struct backend *b, const struct object_id *pack,
					parity_sink *sink, void *ctx, struct parity_report *report,
					struct err *e);

/**
 * As parity_rebuild, from several copies of the pack and of its parity file, each damaged in a way of its own: a sector
 * that is wrong in one is taken from another whose checksum fits, and only what is wrong in all of them is rebuilt.
 * A copy may lack either file.  ERR_NOT_FOUND: none has a parity file.
 */
MUST_CHECK enum err_code parity_unite(struct backend *const *copies, size_t nr,
				      const struct object_id *pack, parity_sink *sink, void *ctx,
				      struct parity_report *report, struct err *e);

/**
 * How the pack and its parity file are, both read whole: report->bad, lost, par_bad.  ERR_OK where they could be
 * looked at, however damaged; ERR_CORRUPT: nothing in the parity file can be believed.
 */
MUST_CHECK enum err_code parity_check(struct backend *b, const struct object_id *pack,
				      struct parity_report *report, struct err *e);

/**
 * The same of the parity file alone, the pack unread: sectors, par_sectors, par_bad, longer (of it).  For whoever has
 * just compared the pack's SHA-256.
 */
MUST_CHECK enum err_code parity_check_file(struct backend *b, const struct object_id *pack,
					   struct parity_report *report, struct err *e);

/**
 * Make pack and parity file whole again under their own names, whichever is damaged: rebuilt into a temporary,
 * SHA-256 compared, renamed over the old one, read back (past the system's cache where b->fresh) and compared again.
 * Nothing is written where nothing is wrong, or where it cannot be made whole.
 * ERR_CORRUPT: more is lost than can be rebuilt, and the pack is as it was; or nothing in the parity file can be
 * believed: where the pack is whole parity_write makes it anew.  ERR_LIMIT: the medium has not twice
 * the room.  ERR_IO: not writable, or what was written reads back wrong: replace the drive.  *report is set
 * where the damage was looked at.
 */
MUST_CHECK enum err_code parity_mend(struct backend *b, const struct object_id *pack,
				     struct parity_report *report, struct err *e);

#endif
