import java.time.LocalDate;
import java.time.temporal.ChronoUnit;

/** What a late return costs, in cents. */
public final class Fees {
    public static final int PER_DAY = 25;
    public static final int MOST = 1000;
    public static final int GRACE_DAYS = 2;

    private Fees() {}

    /** Nothing within the days of grace; after them every day since the due date counts. */
    public static int of(LocalDate due, LocalDate returned) {
        long late = ChronoUnit.DAYS.between(due, returned);
        if (late <= GRACE_DAYS) {
            return 0;
        }
        return (int) Math.min((long) MOST, late * PER_DAY);
    }
}
