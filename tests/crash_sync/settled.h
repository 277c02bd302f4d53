/* settled.h - a change, again while somebody's wait-all is deciding. */
#define settled(object, change)                                                              \
    ({                                                                                       \
        int outcome_;                                                                        \
        while ((outcome_ = (change)) == -EBUSY) nshm_settle(object, INT64_MAX);              \
        outcome_;                                                                            \
    })
