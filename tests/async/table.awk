# The table of docs/performance.md, of what bench.sh prints:    awk -f table.awk TABLE
BEGIN {
    FS = "\t"
    title["ec"] = "P-256"; title["rsa"] = "RSA-2048"
    print "| key | ms a call | in flight | software key | token, waiting | token, ASYNC | of software | p50 / p99 waiting | p50 / p99 ASYNC | threads |"
    print "|---|---|---|---|---|---|---|---|---|---|"
}
NR > 1 && NF == 8 { rate[$4] = $5; times[$4] = sprintf("%.1f / %.1f", $6, $7) }
NR > 1 && $4 == "async" {
    printf "| %s | %g | %d | %.0f | %.0f | %.0f | %.0f %% | %s | %s | %d |\n", title[$1], $2 / 1000, $3, rate["software"], rate["sync"], rate["async"], 100 * rate["async"] / rate["software"], times["sync"], times["async"], $8
}
