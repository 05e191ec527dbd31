"""Pictures of the results, by matplotlib."""

COLOURS = {"sluice": "#1b6ca8", "ovs": "#d1495b", "testpmd": "#7a7a7a"}


def lines(path, title, x_label, y_label, series, log_x=False, log_y=False):
    """A line for each of `series`: {(label, device): [(x, y) or (x, y, lowest, highest), ...]}."""
    # Only here: it takes a second to load.
    import matplotlib  # pylint: disable=import-outside-toplevel
    matplotlib.use("Agg")
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel

    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=110)
    seen = {}
    for (label, device), points in series.items():
        if not points:
            continue
        points = sorted(points)
        # A second line of a device is dashed, a third dotted.
        style = ("-", "--", ":", "-.")[seen.setdefault(device, 0) % 4]
        seen[device] += 1
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        axes.plot(xs, ys, style, label=label, color=COLOURS.get(device), marker="o" if len(xs) < 20 else None,
                  markersize=4)
        if all(len(point) == 4 for point in points):
            axes.fill_between(xs, [point[2] for point in points], [point[3] for point in points],
                              color=COLOURS.get(device), alpha=0.15, linewidth=0)
    if log_x:
        axes.set_xscale("log")
    if log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize=9)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def points(entries, x, y, scale=1, **case):
    """Medians of `y` with their spread, by `x`, of the entries of a case."""
    return [(entry[x], *(entry[y][key] / scale for key in ("median", "min", "max"))) for entry in entries
            if entry.get(y) and all(entry.get(key) == value for key, value in case.items())]
