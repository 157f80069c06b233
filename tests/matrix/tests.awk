# The table of tests by version: how many sentences of each test passed in each release, and how many did not.
#     awk -v roots=FOLDER -v columns="RELEASE=VERSION..." -f tests.awk
BEGIN {
    count = split(columns, column, " ")
    for (i = 1; i <= count; i++) {
        split(column[i], part, "=")
        version[i] = part[2]
        build = roots "/" part[1] "/signet/build"
        list = "find '" build "/tests' -name '*.trs' | sort"
        while ((list | getline file) > 0) {
            test = substr(file, length(build) + 8)
            sub(/\.trs$/, "", test)
            if (!(test in known)) {
                known[test] = 1
                name[++tests] = test
            }
            while ((getline line < file) > 0) {
                if (line ~ /^:test-result: PASS/) {
                    good[test, i]++
                } else if (line ~ /^:test-result:/) {
                    bad[test, i]++
                }
            }
            close(file)
        }
        close(list)
    }
    printf "%-28s", "test"
    for (i = 1; i <= count; i++) {
        printf "%14s", version[i]
    }
    printf "\n"
    for (t = 1; t <= tests; t++) {
        printf "%-28s", name[t]
        for (i = 1; i <= count; i++) {
            ran = (name[t], i) in good || (name[t], i) in bad
            cell = !ran ? "-" : good[name[t], i] + 0
            if ((name[t], i) in bad) {
                cell = cell ", " bad[name[t], i] " BAD"
            }
            printf "%14s", cell
        }
        printf "\n"
    }
}
