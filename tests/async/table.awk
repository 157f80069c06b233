# The tables of docs/performance.md, of what bench.sh prints:    awk -f table.awk TABLE
BEGIN {
    FS = "\t"
    title["ec"] = "P-256"; title["rsa"] = "RSA-2048"
    print "| key | ms a call | in flight | software key | token, waiting | token, ASYNC | of software | of waiting | p50 / p99 waiting | p50 / p99 ASYNC | threads | µs of processor, waiting / ASYNC |"
    print "|---|---|---|---|---|---|---|---|---|---|---|---|"
}
NR == 1 || NF != 11 { next }
{ rate[$4] = $5; times[$4] = sprintf("%.1f / %.1f", $6, $7); cpu[$4] = $9 }
$4 == "async" {
    printf "| %s | %g | %d | %.0f | %.0f | %.0f | %.0f %% | %.0f %% | %s | %s | %d | %d / %d |\n", title[$1], $2 / 1000, $3, rate["software"], rate["sync"], rate["async"], 100 * $10, 100 * $11, times["sync"], times["async"], $8, cpu["sync"], cpu["async"]
    if ($2 == 2000 && $3 == 64) many[$1] = sprintf("%.0f %%", 100 * $10)
    if ($2 == 0 && $3 == 1) alone[$1] = sprintf("%.0f %%", 100 * $11)
}
END {
    print "\n| goal | P-256 | RSA-2048 |\n|---|---|---|"
    printf "| 64 in flight, 2 ms a call: at least 80 %% of a software key | %s | %s |\n", many["ec"], many["rsa"]
    printf "| one in flight, 0 ms: at least 90 %% of waiting | %s | %s |\n", alone["ec"], alone["rsa"]
}
