/* SPDX-License-Identifier: MIT */
#include "fs/attr.h"

#include <sys/sysmacros.h>

#define DIR_SIZE	4096	/* bytes shown for a folder, as du expects them of a file system */
#define BLKSIZE		(128u << 10)	/* what one buffered read asks for */

static const mode_t type_bits[] = {
	[ENTRY_FILE] = S_IFREG,	    [ENTRY_DIR] = S_IFDIR,	[ENTRY_SYMLINK] = S_IFLNK,
	[ENTRY_CHARDEV] = S_IFCHR,  [ENTRY_BLOCKDEV] = S_IFBLK, [ENTRY_FIFO] = S_IFIFO,
};

/* splitmix64's finisher: every bit of the input moves every bit of the output. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/*
 * All names of one file must show one number, which no name's node id can be:
 * those stay below 2^63.  Two groups of one snapshot would have to meet in 62 bits.
 */
static uint64_t ino_of(const struct entry *ent, uint64_t nodeid)
{
	uint64_t h;

	if (!(ent->flags & ENTRY_HARDLINK))
		return nodeid;
	h = mix(mix(mix(nodeid_slot(nodeid) + UINT64_C(0x9e3779b97f4a7c15)) + ent->dev) +
		ent->inode);
	return UINT64_C(1) << 63 | h >> 2;
}

static struct timespec timespec_of(const struct vtime *t)
{
	return (struct timespec){ .tv_sec = (time_t)t->sec, .tv_nsec = (long)t->nsec };
}

void attr_brief(const struct entry *ent, uint64_t nodeid, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino_of(ent, nodeid);
	st->st_mode = type_bits[ent->type] | (ent->mode & 07777);
}

void attr_of(const struct entry *ent, uint64_t nodeid, struct stat *st)
{
	uint64_t data = ent->size - (ent->hole_bytes < ent->size ? ent->hole_bytes : ent->size);

	attr_brief(ent, nodeid, st);
	st->st_uid = ent->uid;
	st->st_gid = ent->gid;
	st->st_mtim = timespec_of(&ent->mtime);
	st->st_ctim = timespec_of(&ent->ctime);
	st->st_atim = st->st_mtim;	/* never kept; a time that does not move is the honest one */
	st->st_blksize = BLKSIZE;
	st->st_nlink = 1;
	switch (ent->type) {
	case ENTRY_FILE:
		st->st_size = (off_t)ent->size;
		st->st_blocks = (blkcnt_t)(data / 512 + (data % 512 != 0));
		break;
	case ENTRY_DIR:
		st->st_size = DIR_SIZE;
		st->st_blocks = DIR_SIZE / 512;
		st->st_nlink = (nlink_t)(ent->nr_subdirs + 2);
		break;
	case ENTRY_SYMLINK:
		st->st_size = (off_t)ent->target_len;
		break;
	case ENTRY_CHARDEV:
	case ENTRY_BLOCKDEV:
		st->st_rdev = makedev(ent->rdev_major, ent->rdev_minor);
		break;
	case ENTRY_FIFO:
		break;
	}
	if (ent->type != ENTRY_DIR && ent->flags & ENTRY_HARDLINK)
		st->st_nlink = (nlink_t)ent->nlink;
}

void attr_param(const struct entry *ent, uint64_t nodeid, struct fuse_entry_param *p)
{
	memset(p, 0, sizeof(*p));
	p->ino = nodeid;
	p->attr_timeout = TIMEOUT_FOREVER;
	p->entry_timeout = TIMEOUT_FOREVER;
	attr_of(ent, nodeid, &p->attr);
}
