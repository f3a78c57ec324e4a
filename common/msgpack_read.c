/* SPDX-License-Identifier: MIT */
#include "common/msgpack_read.h"

#include "common/msgpack.h"

#include <errno.h>

int msgpack_read_refuse(int r, const char *what, size_t item, struct err_at *reterr_at)
{
    if (reterr_at)
        *reterr_at =
            (struct err_at){.what = what, .offset = ERR_AT_UNKNOWN, .item = item};
    return r;
}

int msgpack_read_map(struct span in, size_t max_nodes, size_t max_nesting,
                     msgpack_unpacked *ret, struct err_at *reterr_at)
{
    size_t at = 0;
    int r = msgpack_walk(in, max_nodes, max_nesting, reterr_at);
    if (r)
        return r;

    msgpack_unpack_return u = msgpack_unpack_next(ret, (const char *)in.data, in.n, &at);
    if (u == MSGPACK_UNPACK_NOMEM_ERROR)
        return msgpack_read_refuse(-ENOMEM, NULL, ERR_AT_UNKNOWN, reterr_at);
    if (u != MSGPACK_UNPACK_SUCCESS)
        return msgpack_read_refuse(E_MALFORMED, "not MessagePack", ERR_AT_UNKNOWN,
                                   reterr_at);
    if (ret->data.type != MSGPACK_OBJECT_MAP)
        return msgpack_read_refuse(E_MALFORMED, "the message is not a map",
                                   ERR_AT_UNKNOWN, reterr_at);
    return 0;
}

static bool is_named(const msgpack_object *key, const char *name)
{
    return key->type == MSGPACK_OBJECT_STR &&
           span_equal_str(span_of(key->via.str.ptr, key->via.str.size), name);
}

const msgpack_object *msgpack_read_find(const msgpack_object *map, const struct member *m)
{
    for (uint32_t i = map->via.map.size; i > 0; i--) {
        const msgpack_object_kv *pair = &map->via.map.ptr[i - 1];
        if (is_named(&pair->key, m->name) || is_named(&pair->key, m->other_name))
            return &pair->val;
    }
    return NULL;
}

const char *msgpack_read_integer(const msgpack_object *map, const struct member *m,
                                 int64_t *ret)
{
    const msgpack_object *o = msgpack_read_find(map, m);

    if (!o)
        return m->missing;
    if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) {
        *ret = o->via.i64;
        return NULL;
    }
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return m->mistyped;
    if (o->via.u64 > INT64_MAX)
        return m->out_of_range;
    *ret = (int64_t)o->via.u64;
    return NULL;
}

const char *msgpack_read_string(const msgpack_object *map, const struct member *m,
                                struct span *ret)
{
    const msgpack_object *o = msgpack_read_find(map, m);

    if (!o)
        return m->missing;
    if (o->type != MSGPACK_OBJECT_STR)
        return m->mistyped;
    *ret = span_of(o->via.str.ptr, o->via.str.size);
    return NULL;
}

const char *msgpack_read_unsigned(const msgpack_object *map, const struct member *m,
                                  uint64_t *ret)
{
    const msgpack_object *o = msgpack_read_find(map, m);

    if (!o)
        return m->missing;
    if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        return m->out_of_range;
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return m->mistyped;
    *ret = o->via.u64;
    return NULL;
}

const char *msgpack_read_bin(const msgpack_object *map, const struct member *m,
                             struct span *ret)
{
    const msgpack_object *o = msgpack_read_find(map, m);

    if (o && o->type != MSGPACK_OBJECT_BIN)
        return m->mistyped;
    *ret = o ? span_of(o->via.bin.ptr, o->via.bin.size) : span_of(NULL, 0);
    return NULL;
}
