# An SVG of what bench.sh prints: handshakes a second against connections in flight, a panel for each type and delay.
#     awk -f plot.awk TABLE >PLOT.svg
BEGIN { FS = "\t"; wide = 300; high = 220; left = 50; top = 34 }
NR == 1 || NF < 8 { next }
{
    panel = $1 FS $2
    if (!(panel in column)) {
        if (!($1 in line)) { line[$1] = num_lines++; types[num_lines - 1] = $1; num_in[$1] = 0 }
        column[panel] = num_in[$1]++
        if (num_in[$1] > most_columns) most_columns = num_in[$1]
        panels[num_panels++] = panel
    }
    if (!($3 in at)) { at[$3] = num_flights++; flights[num_flights - 1] = $3 }
    value[panel, $3, $4] = $5
    if ($5 > peak[$1]) peak[$1] = $5
}
function x_of(panel, flight) { return left + column[panel] * wide + at[flight] * (wide - 80) / (num_flights - 1) }
function y_of(panel, rate, type) {
    type = substr(panel, 1, index(panel, FS) - 1)
    return top + line[type] * (high + 50) + high - rate / peak[type] * high
}
END {
    colour["software"] = "#888888"; colour["sync"] = "#c0392b"; colour["async"] = "#2471a3"
    name["software"] = "software key"; name["sync"] = "token, waiting"; name["async"] = "token, ASYNC jobs"
    title["ec"] = "P-256"; title["rsa"] = "RSA-2048"
    width = most_columns * wide + 30; height = num_lines * (high + 50) + top + 20
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n", width, height
    printf "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", width, height
    for (p = 0; p < num_panels; p++) {
        panel = panels[p]; split(panel, part, FS)
        x = x_of(panel, flights[0]); y = y_of(panel, 0)
        printf "<text x=\"%d\" y=\"%d\" font-weight=\"bold\">%s, %g ms a call</text>\n", x, y - high - 8, title[part[1]], part[2] / 1000
        printf "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#444444\"/>\n", x, y - high, y, x + wide - 80
        printf "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%d</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">0</text>\n", x - 4, y - high + 10, peak[part[1]], x - 4, y
        for (f = 0; f < num_flights; f++)
            printf "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", x_of(panel, flights[f]), y + 15, flights[f]
        for (way in colour) {
            points = ""
            for (f = 0; f < num_flights; f++)
                points = points sprintf("%.1f,%.1f ", x_of(panel, flights[f]), y_of(panel, value[panel, flights[f], way]))
            printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", points, colour[way]
        }
    }
    x = left
    split("software sync async", order, " ")
    for (i = 1; i <= 3; i++) {
        printf "<rect x=\"%d\" y=\"%d\" width=\"14\" height=\"4\" fill=\"%s\"/><text x=\"%d\" y=\"%d\">%s</text>\n", x, height - 14, colour[order[i]], x + 20, height - 8, name[order[i]]
        x += 160
    }
    printf "<text x=\"%d\" y=\"%d\">handshakes a second, by connections in flight</text>\n</svg>\n", x, height - 8
}
