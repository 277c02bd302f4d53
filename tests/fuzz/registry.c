/* registry.c - fuzzes what stands in the registry: the header, the hashes, whole records and single fields; see world.h.
 *
 * With -DONE_RECORD the input is one record as it stands, under the name of a living object, and nothing else.
 */
#include "world.h"

static void scribble(input *in) {
    while (in->at < in->end) {
        uint32_t what = take(in, 1) % 12, slot = take(in, 1) % SLOTS, from = take(in, 1) % SLOTS;
        switch (what) {
        case 0: registry->used = a_number(in); break;
        case 1: /* the name of another, or any */
            touched(slot);
            registry->hash[slot] = from & 1 ? saved.hash[from] : a_number(in);
            break;
        case 2: /* a copy of a living entry elsewhere */
            touched(slot);
            registry->record[slot] = saved.record[from];
            registry->hash[slot] = saved.hash[from];
            if (slot >= registry->used) registry->used = slot + 1;
            break;
        case 3: /* only an owner's death may be left in the lock */
            registry->lock = FUTEX_OWNER_DIED | (from & 1 ? FUTEX_WAITERS : 0) | (from & 2 ? take(in, 4) & FUTEX_TID_MASK : 0);
            break;
        case 4: registry->sweep = a_number(in); break;
        case 5: { /* what is constant, and read before anything else */
            uint32_t lock = registry->lock;
            raw(in, registry, offsetof(nshm_registry, gap));
            registry->lock = lock;
            break;
        }
        case 6: registry->key = a_number(in); break;
        default:
            touched(slot);
            scribble_record(in, &registry->record[slot]);
        }
    }
}

/* Hand a handle over, to ourselves, while somebody writes over the note. */
static void hand_over(const nshm_handle *h, uint32_t choices, input late) {
    nshm_parked parked;
    nshm_handle other;
    nshm_note note;
    memset(&parked, 0, sizeof parked);
    int r = nshm_send(&scope, h, 7, "\001p", 2, choices & 1, &parked);
    if (!documented(r)) caught("send: %d", r);
    if (r) return;
    nshm_record *parcel = &registry->record[parked.box.slot];
    if (choices & 2) raw(&late, parcel->name + NSHM_NOTE, sizeof(nshm_note));
    if (choices & 4) parcel->type = (uint16_t)take(&late, 2);
    if (choices & 8) parcel->size = a_number(&late);
    if (choices & 16) parcel->data = an_id(&late);
    r = nshm_receive(&scope, &scope, "\001p", 2, &other, &note);
    if (!documented(r)) caught("receive: %d", r);
    if (!r) {
        if (other.token) check_handle("receive", &other);
        nshm_close(&other, 0);
    }
    if ((r = nshm_unsend(&parked, 1)) && !documented(r)) caught("unsend: %d", r);
}

static void visit(uint32_t choices, uint32_t which, input late) {
    static const char *const names[] = {"X", "Y", "R", "M", "E", "A", "S", "dead", "new", "p"};
    enum { NAMES = sizeof names / sizeof *names };
    nshm_handle opened[NAMES], other;
    nshm_info info;
    uint32_t cursor = 0, listed = 0;
    int r;
    for (int i = 0; i < NAMES; i++) {
        uint16_t type = i < OBJECTS ? objects[i].type : NSHM_SECTION;
        opened[i].token = NULL;
        if (which >> i & 1) continue;
        r = nshm_open(&scope, type, names[i], strlen(names[i]), choices >> i & 1 ? NSHM_READONLY : 0, &opened[i]);
        if (!documented(r)) caught("open %s: %d", names[i], r);
        if (r) opened[i].token = NULL;
        else check_handle("open", &opened[i]);
        if (!r && !nshm_duplicate(&opened[i], choices >> i & 2, &other)) check_handle("duplicate", &other), nshm_close(&other, 0);
        type = (uint16_t)(1 + (type + choices) % 5);
        if (!(r = nshm_open(&scope, type, names[i], strlen(names[i]), 0, &other))) check_handle("open as another type", &other), nshm_close(&other, 0);
        else if (!documented(r)) caught("open %s as %u: %d", names[i], type, r);
    }
    while (!(r = nshm_next(&scope, &cursor, &info)) || (r == -ESTALE && cursor))
        if (info.record.length > NSHM_NAME_MAX || listed++ > NSHM_CAPACITY) caught("list: a name of %d bytes, %u names", info.record.length, listed);
    if (!documented(r)) caught("list: %d", r);
    for (int i = 0; i < NAMES; i++)
        if (opened[i].token) {
            if (!(choices >> i & 0x30)) hand_over(&opened[i], choices, late);
            if (choices >> i & 4) nshm_close_name(&opened[i]);
            nshm_close(&opened[i], 0);
        }
    for (int i = 0; i < NAMES; i++) {
        kept_object o = i < OBJECTS ? objects[i] : objects[0];
        if (which >> i & 1) continue;
        o.name = names[i];
        r = make(&o, choices >> (i + 8) & 1 ? NSHM_EXCLUSIVE : 0, &other);
        if (!documented(r)) caught("create %s: %d", names[i], r);
        if (r) continue;
        check_handle("create", &other);
        if (other.created && o.type == NSHM_SECTION)
            for (uint64_t k = 0; k < other.size; k++)
                if (((char *)other.data)[k]) caught("create %s: not zero", names[i]);
        nshm_close(&other, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, data + size}, late = {size > 24 ? data + size - 24 : data, data + size};
    uint32_t choices = take(&in, 3), which = take(&in, 2);
    put_back();
#ifdef ONE_RECORD
    uint32_t slot = choices % OBJECTS;
    size_t n = (size_t)(in.end - in.at);
    touched(slot);
    memcpy(&registry->record[slot], in.at, n < sizeof(nshm_record) ? n : sizeof(nshm_record));
    if (choices & 0x100) registry->record[slot].token = saved.record[slot].token;
    if (choices & 0x200) registry->record[slot].data = saved.record[slot].data;
    if (choices & 0x400) registry->record[slot].token_size = saved.record[slot].token_size;
    if (choices & 0x800) registry->record[slot].nonce = saved.record[slot].nonce;
    if (choices & 0x1000) memcpy(registry->record[slot].name, saved.record[slot].name, sizeof saved.record[slot].name);
    if (choices & 0x2000) registry->record[slot].length = saved.record[slot].length;
    if (choices & 0x4000) registry->record[slot].size = saved.record[slot].size;
    if (choices & 0x8000) registry->record[slot].type = saved.record[slot].type;
#else
    scribble(&in);
#endif
    for (uint32_t i = registry->used; i < OBJECTS; i++) touched(i); /* it says that they are free */
    visit(choices, which, late);
    nshm_scope_release(&scope); /* the spare goes; the registry stays, see LLVMFuzzerInitialize */
    check_the_living();
    check_attachments();
    return 0;
}
