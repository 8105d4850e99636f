/* schema_format.c: the formats of the standard as patterns. Each lets through only what its definition does; where that
 * is wide (hosts, addresses, URIs) it is the part that is plain ASCII and of a sane length. */
#include <string.h>
#include "schema.h"

#define DATE                                                                                                           \
    "(?:(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"      \
    "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|"                                              \
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)"
#define TIME "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define DURATION_TIME "(?:T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S))"
#define DURATION_DATE "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
/* A label of a host: no -- in the third place, which internationalised names have; the last one begins with a letter.
 * */
#define LD "[A-Za-z0-9]"
#define LDH "[A-Za-z0-9-]"
#define AFTER_FIRST "(?:" LD "|" LDH LD "|" LDH "(?:" LD LDH "{0,27}" LD "|-" LD "(?:" LDH "{0,26}" LD ")?))?"
#define LABEL "(?:" LD AFTER_FIRST ")"
#define LAST_LABEL "(?:[A-Za-z]" AFTER_FIRST ")"
#define HOST "(?:(?:" LABEL "\\.){0,6}" LAST_LABEL ")"
#define ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
#define EMAIL ATOM "{1,20}(?:\\." ATOM "{1,20}){0,2}@(?:" LABEL "\\.){0,3}" LAST_LABEL
#define OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define IPV4 OCTET "\\." OCTET "\\." OCTET "\\." OCTET
#define H16 "[0-9A-Fa-f]{1,4}"
#define LS32 "(?:" H16 ":" H16 "|" IPV4 ")"
#define IPV6                                                                                                           \
    "(?:(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?::(?:" H16 ":){4}" LS32 "|"                      \
    "(?:(?:" H16 ":){0,1}" H16 ")?::(?:" H16 ":){3}" LS32 "|(?:(?:" H16 ":){0,2}" H16 ")?::(?:" H16 ":){2}" LS32 "|"   \
    "(?:(?:" H16 ":){0,3}" H16 ")?::" H16 ":" LS32 "|(?:(?:" H16 ":){0,4}" H16 ")?::" LS32 "|"                         \
    "(?:(?:" H16 ":){0,5}" H16 ")?::" H16 "|(?:(?:" H16 ":){0,6}" H16 ")?::)"
#define PCT "%[0-9A-Fa-f]{2}"
#define PCHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|" PCT ")"
#define QUERY "(?:\\?(?:" PCHAR "|[/?])*)?"
#define FRAGMENT "(?:#(?:" PCHAR "|[/?])*)?"
#define AUTHORITY "(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|" PCT ")+@)?(?:" HOST "|" IPV4 ")(?::[0-9]{1,5})?"
#define URI "[A-Za-z][A-Za-z0-9+.-]*:(?://" AUTHORITY "(?:/" PCHAR "*)*|/(?:" PCHAR "+(?:/" PCHAR "*)*)?|"            \
    PCHAR "+(?:/" PCHAR "*)*)" QUERY FRAGMENT
#define SEGMENT_WITHOUT_COLON "(?:[A-Za-z0-9._~!$&'()*+,;=@-]|" PCT ")+"
#define RELATIVE "(?://" AUTHORITY "(?:/" PCHAR "*)*|/(?:" PCHAR "+(?:/" PCHAR "*)*)?|"                               \
    SEGMENT_WITHOUT_COLON "(?:/" PCHAR "*)*|)" QUERY FRAGMENT
#define VARIABLE "[A-Za-z0-9_]+(?:\\.[A-Za-z0-9_]+)*(?:\\*|:[1-9][0-9]{0,3})?"
#define POINTER "(?:/(?:[^/~]|~[01])*)*"

const char *format_pattern(const char *name, bool *known) {
    static const struct { const char *name, *pattern;
    } formats[] = {
        {"date", "^" DATE "$"},
        {"time", "^" TIME "$"},
        {"date-time", "^" DATE "T" TIME "$"},
        {"duration", "^P(?:[0-9]+W|" DURATION_DATE DURATION_TIME "?|" DURATION_TIME ")$"},
        {"email", "^" EMAIL "$"},
        {"idn-email", "^" EMAIL "$"},
        {"hostname", "^" HOST "$"},
        {"idn-hostname", "^" HOST "$"},
        {"ipv4", "^" IPV4 "$"},
        {"ip-address", "^" IPV4 "$"},
        {"ipv6", "^" IPV6 "$"},
        {"uri", "^" URI "$"},
        {"iri", "^" URI "$"},
        {"uri-reference", "^(?:" URI "|" RELATIVE ")$"},
        {"iri-reference", "^(?:" URI "|" RELATIVE ")$"},
        {"uri-template",
         "^(?:[A-Za-z0-9._~!$&()*+,;=:@/?#-]|" PCT "|\\{[+#./;?&]?" VARIABLE "(?:," VARIABLE ")*\\})*$"},
        {"uuid", "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"},
        {"json-pointer", "^" POINTER "$"},
        {"relative-json-pointer", "^(?:0|[1-9][0-9]*)(?:#|" POINTER ")$"},
        {"host-name", "^" HOST "$"},
        {"regex", NULL},
        {"color", NULL},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(name, formats[i].name)) return *known = true, formats[i].pattern;
    return *known = false, NULL;
}
