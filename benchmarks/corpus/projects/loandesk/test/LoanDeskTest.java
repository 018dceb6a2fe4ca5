import java.time.LocalDate;
import java.util.List;

/** Run with `-ea`. */
public class LoanDeskTest {
    private static final LocalDate DAY = LocalDate.of(2026, 3, 2);

    public static void main(String[] args) {
        catalog();
        fees();
        lending();
        queue();
        debts();
        System.out.println("ok");
    }

    private static Desk desk() {
        Catalog catalog = new Catalog();
        catalog.add(new Catalog.Book("1", "Birds of the Coast", "A. Plover"), 1);
        for (String isbn : List.of("2", "3", "4")) {
            catalog.add(new Catalog.Book(isbn, "Atlas " + isbn, "B. Heron"), 2);
        }
        return new Desk(catalog);
    }

    private static void refused(Runnable call, String words) {
        try {
            call.run();
        } catch (RuntimeException error) {
            assert error.getMessage().contains(words) : error.getMessage();
            return;
        }
        throw new AssertionError("not refused: " + words);
    }

    private static void catalog() {
        Catalog catalog = new Catalog();
        catalog.add(new Catalog.Book("9", "Zebras", "C. Stripe"), 1);
        catalog.add(new Catalog.Book("8", "Owls", "C. Night"), 1);
        catalog.add(new Catalog.Book("8", "Owls", "C. Night"), 2);
        assert catalog.copiesOf("8") == 3 && catalog.copiesOf("7") == 0;
        assert catalog.search(" c. ").stream().map(Catalog.Book::isbn).toList().equals(List.of("8", "9"));
        assert catalog.search(" ").isEmpty();
        refused(() -> catalog.add(new Catalog.Book("6", "x", "y"), 0), "at least one");
    }

    private static void fees() {
        assert Fees.of(DAY, DAY.minusDays(3)) == 0;
        assert Fees.of(DAY, DAY.plusDays(2)) == 0;
        assert Fees.of(DAY, DAY.plusDays(3)) == 75;
        assert Fees.of(DAY, DAY.plusYears(1)) == 1000;
    }

    private static void lending() {
        Desk desk = desk();
        assert desk.lend("ann", "1", DAY).due().equals(DAY.plusDays(21));
        refused(() -> desk.lend("bob", "1", DAY), "not available");
        refused(() -> desk.lend("bob", "0", DAY), "no such book");
        desk.lend("ann", "2", DAY);
        desk.lend("ann", "3", DAY);
        refused(() -> desk.lend("ann", "4", DAY), "too many");
        assert desk.extend("ann", "2", DAY.plusDays(21)).due().equals(DAY.plusDays(42));
        refused(() -> desk.extend("ann", "3", DAY.plusDays(22)), "cannot be extended");
        refused(() -> desk.extend("bob", "3", DAY), "no such loan");
        assert desk.takeBack("ann", "1", DAY) == 0;
        assert desk.loansOf("ann").size() == 2;
        refused(() -> desk.takeBack("ann", "1", DAY), "no such loan");
    }

    private static void queue() {
        Desk desk = desk();
        desk.lend("ann", "1", DAY);
        assert desk.reserve("bob", "1") == 1 && desk.reserve("cid", "1") == 2 && desk.reserve("bob", "1") == 1;
        refused(() -> desk.extend("ann", "1", DAY), "cannot be extended");
        desk.takeBack("ann", "1", DAY);
        refused(() -> desk.lend("cid", "1", DAY), "not available");
        desk.lend("bob", "1", DAY);
        desk.takeBack("bob", "1", DAY);
        desk.lend("cid", "1", DAY);
    }

    private static void debts() {
        Desk desk = desk();
        desk.lend("ann", "1", DAY);
        assert desk.takeBack("ann", "1", DAY.plusDays(21 + 30)) == 750;
        assert desk.debtOf("ann") == 750;
        refused(() -> desk.lend("ann", "1", DAY), "debts first");
        refused(() -> desk.pay("ann", 751), "not a payment");
        desk.pay("ann", 250);
        desk.lend("ann", "1", DAY);
        assert desk.debtOf("ann") == 500;
    }
}
