/* SPDX-License-Identifier: MIT */
#include "store/id.h"

#include "store/base/hex.h"

char *id_hex(const struct object_id *id, char out[ID_HEX_LEN + 1])
{
	return hex_encode(id->b, ID_LEN, out);
}

bool id_parse(const char *s, struct object_id *out)
{
	return hex_decode(s, ID_HEX_LEN, out->b);
}
