# The table of key types by token and OpenSSL, of the cells that tests/matrix/key-types.sh tells.
#     awk -f key-types.awk CELLS...                            writes the table
#     awk -v doc=docs/key-types.md -f key-types.awk CELLS...   says where the document's table differs, and fails
function trimmed(text) {
    gsub(/^ +| +$/, "", text)
    return text
}
function minor(version, part) {
    split(version, part, ".")
    return part[1] "." part[2]
}
function shown(row, version) {
    return (row, version) in cell ? cell[row, version] : ""
}
/^# cell / {
    split(substr($0, 8), part, "|")
    version = minor(part[1])
    row = part[3] "|" part[2]
    if (!(version in is_version)) {
        is_version[version] = ++versions
        name[versions] = version
    }
    if (!(part[3] in is_type)) {
        is_type[part[3]] = 1
        type[++types] = part[3]
    }
    if (!(part[2] in is_token)) {
        is_token[part[2]] = 1
        token[++tokens] = part[2]
    }
    what = trimmed(part[4])
    gsub(/ /, ", ", what)
    cell[row, version] = what == "no" ? "-" : what
    some[row] += what != "no"
}
function table(   i, j, k, row, line) {
    line = "| type | token |"
    for (k = 1; k <= versions; k++) {
        line = line " " name[k] " |"
    }
    print line
    gsub(/[^|]+/, "---", line)
    print line
    for (i = 1; i <= types; i++) {
        for (j = 1; j <= tokens; j++) {
            row = type[i] "|" token[j]
            if (some[row] == 0) {
                continue
            }
            line = "| " type[i] " | " token[j] " |"
            for (k = 1; k <= versions; k++) {
                line = line " " shown(row, name[k]) " |"
            }
            print line
        }
    }
}
function compare(   line, part, count, k, row, inside, version, said, differ) {
    while ((getline line < doc) > 0) {
        if (line ~ /^<!-- key types: begin/) {
            inside = 1
        } else if (line ~ /^<!-- key types: end/) {
            inside = 0
        } else if (inside && line ~ /^\|/) {
            count = split(line, part, "|")
            if (trimmed(part[2]) == "type") {
                for (k = 4; k < count; k++) {
                    version[k] = trimmed(part[k])
                }
            } else if (line !~ /^\|---/) {
                row = trimmed(part[2]) "|" trimmed(part[3])
                for (k = 4; k < count; k++) {
                    said = trimmed(part[k])
                    if (version[k] in is_version && said != shown(row, version[k])) {
                        printf "%s: %s with OpenSSL %s: \"%s\" there, \"%s\" in the run\n", doc, row, version[k], said,
                            shown(row, version[k])
                        differ++
                    }
                }
            }
        }
    }
    exit differ > 0
}
END {
    if (doc != "") {
        compare()
    } else {
        table()
    }
}
