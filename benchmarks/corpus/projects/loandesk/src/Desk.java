import java.time.LocalDate;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Lends and takes back. Its methods may be called by several threads. */
public class Desk {
    public record Loan(String reader, String isbn, LocalDate due) {}

    public static final int DAYS = 21;
    public static final int MOST_LOANS = 3;
    public static final int MOST_DEBT = 500;

    private final Catalog catalog;
    private final List<Loan> loans = new ArrayList<>();
    private final Map<String, Integer> debts = new HashMap<>();
    private final Map<String, Deque<String>> queues = new HashMap<>();

    public Desk(Catalog catalog) {
        this.catalog = catalog;
    }

    /** Lends a book; one that is reserved goes to whoever waits longest. */
    public synchronized Loan lend(String reader, String isbn, LocalDate today) {
        if (catalog.find(isbn).isEmpty()) {
            throw new IllegalArgumentException("no such book: " + isbn);
        }
        if (debtOf(reader) > MOST_DEBT) {
            throw new IllegalStateException("debts first");
        }
        if (loansOf(reader).size() >= MOST_LOANS) {
            throw new IllegalStateException("too many loans");
        }
        Deque<String> queue = queues.getOrDefault(isbn, new ArrayDeque<>());
        boolean isFirst = reader.equals(queue.peekFirst());
        int free = catalog.copiesOf(isbn) - lentOut(isbn);
        if (free < 1 || (!isFirst && free <= queue.size())) {
            throw new IllegalStateException("not available: " + isbn);
        }
        queue.remove(reader);
        Loan loan = new Loan(reader, isbn, today.plusDays(DAYS));
        loans.add(loan);
        return loan;
    }

    /** Takes a book back; returns the fee, which is added to the reader's debt. */
    public synchronized int takeBack(String reader, String isbn, LocalDate today) {
        Loan loan = loans.stream()
                .filter(each -> each.reader().equals(reader) && each.isbn().equals(isbn))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("no such loan"));
        loans.remove(loan);
        int fee = Fees.of(loan.due(), today);
        if (fee > 0) {
            debts.merge(reader, fee, Integer::sum);
        }
        return fee;
    }

    /** Lends for another period from today, unless somebody waits or the book is late. */
    public synchronized Loan extend(String reader, String isbn, LocalDate today) {
        for (int place = 0; place < loans.size(); place++) {
            Loan loan = loans.get(place);
            if (!loan.reader().equals(reader) || !loan.isbn().equals(isbn)) {
                continue;
            }
            if (loan.due().isBefore(today) || !queues.getOrDefault(isbn, new ArrayDeque<>()).isEmpty()) {
                throw new IllegalStateException("cannot be extended");
            }
            Loan longer = new Loan(reader, isbn, today.plusDays(DAYS));
            loans.set(place, longer);
            return longer;
        }
        throw new IllegalArgumentException("no such loan");
    }

    /** Puts a reader at the end of a book's queue; who waits already keeps the place. */
    public synchronized int reserve(String reader, String isbn) {
        Deque<String> queue = queues.computeIfAbsent(isbn, key -> new ArrayDeque<>());
        if (!queue.contains(reader)) {
            queue.addLast(reader);
        }
        return new ArrayList<>(queue).indexOf(reader) + 1;
    }

    public synchronized void pay(String reader, int cents) {
        if (cents < 1 || cents > debtOf(reader)) {
            throw new IllegalArgumentException("not a payment: " + cents);
        }
        debts.merge(reader, -cents, Integer::sum);
    }

    public synchronized int debtOf(String reader) {
        return debts.getOrDefault(reader, 0);
    }

    public synchronized List<Loan> loansOf(String reader) {
        return loans.stream().filter(loan -> loan.reader().equals(reader)).toList();
    }

    private int lentOut(String isbn) {
        return (int) loans.stream().filter(loan -> loan.isbn().equals(isbn)).count();
    }
}
