/* SPDX-License-Identifier: MIT */
/*
 * The floor that a FUSE mount stands on: the names and sizes of a real tree, held in memory, every read answered with
 * zeros at once. What it costs to read such a mount is what the kernel and FUSE's round trips cost; nobody's mount can be
 * faster by doing its own work better.
 *
 *   floor TREE MOUNTPOINT       serves in the foreground until unmounted
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOREVER 86400.0

struct node {
	char *name;
	struct stat st;
	size_t first, nr;	/* children, next to one another in nodes[] */
};

static struct node *nodes;
static size_t nr_nodes, cap_nodes;
static char zeros[1 << 20];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static size_t add(const char *name)
{
	if (nr_nodes == cap_nodes) {
		cap_nodes = cap_nodes ? 2 * cap_nodes : 1024;
		nodes = realloc(nodes, cap_nodes * sizeof(nodes[0]));
		if (!nodes)
			die("memory");
	}
	memset(&nodes[nr_nodes], 0, sizeof(nodes[0]));
	nodes[nr_nodes].name = strdup(name);
	if (!nodes[nr_nodes].name)
		die("memory");
	return nr_nodes++;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct node *)a)->name, ((const struct node *)b)->name);
}

/* Children first, so that they stand together; then each folder among them. */
static void load(size_t at, int dirfd)
{
	int fd = dirfd;
	DIR *d = fdopendir(fd);
	struct dirent *de;
	size_t first = nr_nodes;

	if (!d)
		die("opendir");
	while ((de = readdir(d))) {
		size_t n;

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		n = add(de->d_name);
		if (fstatat(fd, de->d_name, &nodes[n].st, AT_SYMLINK_NOFOLLOW) < 0)
			die(de->d_name);
	}
	nodes[at].first = first;
	nodes[at].nr = nr_nodes - first;
	qsort(&nodes[first], nodes[at].nr, sizeof(nodes[0]), by_name);
	for (size_t i = first; i < first + nodes[at].nr; i++)
		if (S_ISDIR(nodes[i].st.st_mode)) {
			int sub = openat(fd, nodes[i].name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

			if (sub < 0)
				die(nodes[i].name);
			load(i, sub);
		}
	(void)closedir(d);
}

static struct stat stat_of(size_t i)
{
	struct stat st = nodes[i].st;

	st.st_ino = i + 1;
	return st;
}

static void fill(struct fuse_entry_param *p, size_t i)
{
	memset(p, 0, sizeof(*p));
	p->ino = i + 1;
	p->attr = stat_of(i);
	p->attr_timeout = p->entry_timeout = FOREVER;
}

static void op_init(void *data, struct fuse_conn_info *conn)
{
	(void)data;
	conn->want |= conn->capable & (FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT |
				       FUSE_CAP_READDIRPLUS | FUSE_CAP_CACHE_SYMLINKS);
	conn->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct node *dir = &nodes[parent - 1];
	size_t lo = dir->first, hi = dir->first + dir->nr;
	struct fuse_entry_param p;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(nodes[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < dir->first + dir->nr && strcmp(nodes[lo].name, name) == 0) {
		fill(&p, lo);
		(void)fuse_reply_entry(req, &p);
	} else {
		(void)fuse_reply_err(req, ENOENT);
	}
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = stat_of(ino - 1);

	(void)fi;
	(void)fuse_reply_attr(req, &st, FOREVER);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	(void)ino;
	(void)nlookup;
	fuse_reply_none(req);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	const struct node *dir = &nodes[ino - 1];
	char *buf = malloc(size);
	size_t used = 0;

	(void)fi;
	if (!buf) {
		(void)fuse_reply_err(req, ENOMEM);
		return;
	}
	for (size_t i = (size_t)off; i < dir->nr; i++) {
		struct fuse_entry_param p;
		size_t n;

		fill(&p, dir->first + i);
		n = fuse_add_direntry_plus(req, buf + used, size - used, nodes[dir->first + i].name, &p,
					   (off_t)i + 1);
		if (n > size - used)
			break;
		used += n;
	}
	(void)fuse_reply_buf(req, buf, used);
	free(buf);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	size_t len = (size_t)nodes[ino - 1].st.st_size;

	(void)fi;
	if ((size_t)off >= len)
		size = 0;
	else if (size > len - (size_t)off)
		size = len - (size_t)off;
	(void)fuse_reply_buf(req, zeros, size < sizeof(zeros) ? size : sizeof(zeros));
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	(void)ino;
	(void)fuse_reply_readlink(req, "x");
}

/* Once answered so, the kernel opens without asking, and keeps the pages. */
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	(void)fuse_reply_err(req, ENOSYS);
}

static const struct fuse_lowlevel_ops ops = {
	.open = op_open,
	.opendir = op_open,
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.forget = op_forget,
	.readdirplus = op_readdirplus,
	.read = op_read,
	.readlink = op_readlink,
};

int main(int argc, char **argv)
{
	char name[] = "floor", options[] = "-oro,fsname=floor";
	char *args[] = { name, options };
	struct fuse_args fa = FUSE_ARGS_INIT(2, args);
	struct fuse_session *se;
	struct fuse_loop_config *lc;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: floor TREE MOUNTPOINT\n");
		return 2;
	}
	(void)add("");
	fd = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (fd < 0 || fstat(fd, &nodes[0].st) < 0)
		die(argv[1]);
	load(0, fd);
	se = fuse_session_new(&fa, &ops, sizeof(ops), NULL);
	if (!se || fuse_set_signal_handlers(se) < 0 || fuse_session_mount(se, argv[2]) < 0)
		return 1;
	lc = fuse_loop_cfg_create();
	fuse_loop_cfg_set_clone_fd(lc, 1);
	(void)fuse_session_loop_mt(se, lc);
	fuse_loop_cfg_destroy(lc);
	fuse_session_unmount(se);
	fuse_remove_signal_handlers(se);
	fuse_session_destroy(se);
	return 0;
}
